-- Findings that this project accepts: the key of each, its fingerprint and the reason. A finding with another fingerprint
-- is reported: what was accepted has changed. This adds a line: partywall audit --accept KEY --because "…"
create or replace view audit.accepted (key, fingerprint, reason) as values
    (
        'policy_for_other_role:app.tasks.tasks_are_explained_by_their_owner',
        '6645dc6586b7c76b',
        'For audit.explain_access(). It applies only to logins that are members of app_owner and could drop the policy.'
    ),
    (
        'policy_for_other_role:app.idempotency_keys.idempotency_keys_expire',
        '42d5e2927b146df0',
        'For partywall clean, which deletes the expired keys of all users as app_owner. No other rows are visible to it.'
    ),
    (
        'unexpected:routine app.uuidv7()',
        '78e698fe39dc3422',
        'What PostgreSQL 18 has built in: the first migration makes it on older servers.'
    ),
    (
        'unexpected:right execute on routine app.uuidv7() to app_api',
        'e2ea331b6951b8ba',
        'For the default of the column id, on servers before 18.'
    );

comment on view audit.accepted is
    'Findings that are not reported, by their key and fingerprint, each with the reason why it is accepted.';
