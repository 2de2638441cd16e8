-- The policies and the grants are for this role. If it does not exist, the other checks have nothing to report.
select
    'role_missing' as name,
    'error' as level,
    'app_api' as object,
    'The role does not exist.' as detail,
    'create role app_api login;' as remediation,
    'role_missing:app_api' as key
where to_regrole('app_api') is null;
