-- Vulnerabilities of row-level security itself, fixed in minor releases. https://www.postgresql.org/support/security/
select
    'server_version' as name,
    'error' as level,
    'server' as object,
    format('PostgreSQL %s has %s: %s.', current_setting('server_version'), string_agg(cve, ', ' order by fixed_in),
        string_agg(effect, '; ' order by fixed_in)) as detail,
    format('-- Update the server to PostgreSQL %s.%s or later.', major, max(fixed_in)) as remediation,
    'server_version:' || major as key
from (values
    (15, 3, 'CVE-2023-2455', 'wrong role''s policies applied after inlining'),
    (15, 4, 'CVE-2023-39418', 'MERGE bypasses policies'),
    (15, 9, 'CVE-2024-10976', 'wrong role''s policies applied below sub-queries'),
    (16, 5, 'CVE-2024-10976', 'wrong role''s policies applied below sub-queries'),
    (17, 1, 'CVE-2024-10976', 'wrong role''s policies applied below sub-queries'),
    (15, 14, 'CVE-2025-8713', 'statistics reveal values of hidden rows'),
    (16, 10, 'CVE-2025-8713', 'statistics reveal values of hidden rows'),
    (17, 6, 'CVE-2025-8713', 'statistics reveal values of hidden rows')
) as vulnerabilities (major, fixed_in, cve, effect)
where major = current_setting('server_version_num')::int / 10000
    and fixed_in > current_setting('server_version_num')::int % 10000
group by major;
