-- The walls are built for this role. Without it there is nobody to check, and every other check would be silent.
select
    'role_missing' as name,
    'error' as level,
    'app_api' as object,
    'The role does not exist.' as detail,
    'create role app_api login;' as remediation,
    'role_missing:app_api' as key
where to_regrole('app_api') is null;
