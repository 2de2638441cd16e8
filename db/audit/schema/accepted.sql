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
        'd4c1bc03c94c26f6',
        'What PostgreSQL 18 has built in: the first migration makes it on older servers.'
    ),
    (
        'unexpected:right execute on routine app.uuidv7() to app_api',
        'e2ea331b6951b8ba',
        'For the default of the column id, on servers before 18.'
    ),
    (
        'policy_without_tenant:app.workspaces.workspaces_are_read_by_members',
        '602037f68e336732',
        'The list of one''s workspaces is read before one acts in any. It compares with the ids of the caller''s own memberships; while the caller acts in a workspace, with that one''s only.'
    ),
    (
        'index_without_tenant:app.members_by_user',
        '0de3e60a9e93e5d5',
        'It finds the caller''s own memberships, in whichever workspaces: the list of one''s workspaces.'
    ),
    (
        'key_without_tenant:app.invitations_token_hash_key',
        'ba45db9c1387dffa',
        'Whoever accepts an invitation does not know its workspace. The values are hashes of 256 random bits: there is no duplicate that could reveal anything.'
    ),
    (
        'policy_for_other_role:app.invitations.invitations_are_accepted_once',
        'f1a20a277ae9ae90',
        'For app.accept_invitation(): it marks the invitation whose hash it was given, if nobody has accepted it and it has not expired.'
    ),
    (
        'policy_for_other_role:app.invitations.invitations_are_accepted_once:check',
        '62661d28fad58ecc',
        'For app.accept_invitation(): it is accepted by nobody but the caller.'
    ),
    (
        'policy_for_other_role:app.invitations.invitations_are_found_by_their_token',
        'e1f0282d7d5ee468',
        'For app.accept_invitation(): it finds the invitation whose hash it was given, and no other.'
    ),
    (
        'policy_for_other_role:app.members.members_are_the_callers_who_join:check',
        '0e28bd1b3a0819b6',
        'For app.create_workspace() and app.accept_invitation(): they make nobody but the caller a member.'
    ),
    (
        'policy_for_other_role:app.members.members_of_the_caller_decide',
        '8ec5eba10688d8bc',
        'For the functions that decide in which workspace the caller acts: they see the caller''s own memberships only.'
    ),
    (
        'policy_for_other_role:app.workspace_tasks.workspace_tasks_are_explained_by_their_owner',
        '6645dc6586b7c76b',
        'For audit.explain_access(). It applies only to logins that are members of app_owner and could drop the policy.'
    ),
    (
        'policy_for_other_role:app.workspaces.workspaces_are_created_by_a_caller:check',
        'b560919aabdf8aff',
        'For app.create_workspace(): it adds a workspace, and sees and changes none.'
    )
union all table audit.accepted_on_citus;

comment on view audit.accepted is
    'Findings that are not reported, by their key and fingerprint, each with the reason why it is accepted.';
