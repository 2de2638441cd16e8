-- Every login of the database may LISTEN on any channel: no policy hides what a notification says. A payload without
-- content ("look again") is no risk. This check reads the text of the trigger's function.
select
    'trigger_notifies' as name,
    'warning' as level,
    audit.name(g.tgrelid) || '.' || quote_ident(g.tgname) as object,
    format('%s sends notifications about the row, which every login may receive.', audit.routine(p.oid)) as detail,
    audit.advice(format('Send nothing of the row, or: drop trigger %I on %s;', g.tgname, audit.name(g.tgrelid)))
        as remediation,
    'trigger_notifies:' || audit.name(g.tgrelid) || '.' || quote_ident(g.tgname) as key
from pg_trigger as g
join audit.tables as t on t."table" = g.tgrelid
join pg_proc as p on p.oid = g.tgfoid
where not g.tgisinternal and g.tgparentid = 0
    and p.prosrc ~* '\mpg_notify\M|\mexecute\M.*\mnotify\M'
    and (p.prosrc ~* '\m(new|old)\M' or g.tgnewtable is not null or g.tgoldtable is not null);
