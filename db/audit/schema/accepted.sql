-- Findings that this project lives with, each by its key and with its reason. What is listed here is not reported.
create or replace view audit.accepted (key, reason) as values
    (
        'policy_for_other_role:app.tasks.tasks_are_explained_by_their_owner',
        'Opens for app_owner only, only inside audit.explain_access(), and only for a login that is its member.'
    );

comment on view audit.accepted is 'Findings that are not reported, each with the reason.';
