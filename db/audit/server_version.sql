-- Holes in row-level security itself, mended in minor releases. https://www.postgresql.org/support/security/
select
    'server_version' as name,
    'error' as level,
    'server' as object,
    format('PostgreSQL %s has %s: %s.', current_setting('server_version'), string_agg(hole, ', ' order by mended),
        string_agg(effect, '; ' order by mended)) as detail,
    format('-- Update the server to PostgreSQL %s.%s or later.', major, max(mended)) as remediation,
    'server_version:' || major as key
from (values
    (15, 3, 'CVE-2023-2455', 'policies of the wrong role after inlining'),
    (15, 4, 'CVE-2023-39418', 'MERGE passes policies'),
    (15, 9, 'CVE-2024-10976', 'policies of the wrong role below sub-queries'),
    (16, 5, 'CVE-2024-10976', 'policies of the wrong role below sub-queries'),
    (17, 1, 'CVE-2024-10976', 'policies of the wrong role below sub-queries'),
    (15, 14, 'CVE-2025-8713', 'statistics show values of hidden rows'),
    (16, 10, 'CVE-2025-8713', 'statistics show values of hidden rows'),
    (17, 6, 'CVE-2025-8713', 'statistics show values of hidden rows')
) as holes (major, mended, hole, effect)
where major = current_setting('server_version_num')::int / 10000
    and mended > current_setting('server_version_num')::int % 10000
group by major;
