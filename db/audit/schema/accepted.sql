-- Findings that this project lives with, each by its key and with its reason. What is listed here is not reported.
create or replace view audit.accepted (key, reason) as values
    (
        'policy_for_other_role:app.tasks.tasks_are_explained_by_their_owner',
        'For audit.explain_access(). Whom it lets in is a member of app_owner and could take the wall down anyway.'
    ),
    (
        'policy_for_other_role:app.idempotency_keys.idempotency_keys_expire',
        'For partywall clean, which deletes the expired keys of all users as app_owner. It sees nothing else there.'
    );

comment on view audit.accepted is 'Findings that are not reported, each with the reason.';
