-- Findings that this project accepts, each by its key and with the reason. What is listed here is not reported.
create or replace view audit.accepted (key, reason) as values
    (
        'policy_for_other_role:app.tasks.tasks_are_explained_by_their_owner',
        'For audit.explain_access(). It applies only to logins that are members of app_owner and could drop the policy.'
    ),
    (
        'policy_for_other_role:app.idempotency_keys.idempotency_keys_expire',
        'For partywall clean, which deletes the expired keys of all users as app_owner. No other rows are visible to it.'
    );

comment on view audit.accepted is
    'Findings that are not reported, by their key, each with the reason why it is accepted.';
