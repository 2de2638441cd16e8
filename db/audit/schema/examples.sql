-- Rows for `partywall audit --prove`, which adds one to each tenant table and makes up its values. A table whose values it
-- cannot guess is the finding prove_seed: list it here with the columns that PostgreSQL complained about, and no others.
-- JSON's null is null. A value of any other type than text, number or boolean is written as PostgreSQL writes it: "{a,b}".
-- If the ids of tenants have a form of their own, the tenant column ("user_id") is an array of three that nobody has.
create or replace view audit.examples ("table", "row") as
select example."table", example."row"::jsonb
from (values
    ('app.tasks', '{"text": "Water the plants"}')
) as example ("table", "row");

comment on view audit.examples is 'What the rows have that partywall audit --prove adds, where it cannot guess a value.';
comment on column audit.examples."row" is 'A value for each column that cannot be guessed.';
