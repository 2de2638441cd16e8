"""Keys: UUIDs of version 7, whoever makes them: PostgreSQL 18 itself, or our function on an older server."""

import time
from uuid import UUID

import psycopg


def ids(admin: psycopg.Connection, count: int) -> list[UUID]:
    """Return the keys of `count` new tasks, in the order of their making."""
    admin.execute(
        "insert into app.tasks (user_id, text, \"order\") select 'alice', 'x', n from generate_series(1, %s) as n",
        [count],
    )
    return [key for (key,) in admin.execute('select id from app.tasks order by "order"')]


def test_keys_have_the_layout_of_rfc_9562(admin: psycopg.Connection) -> None:
    for key in ids(admin, 100):
        assert key.version == 7
        assert key.variant == "specified in RFC 4122"


def test_keys_carry_the_time_of_their_making(admin: psycopg.Connection) -> None:
    before = time.time_ns() // 1_000_000
    keys = ids(admin, 100)
    after = time.time_ns() // 1_000_000
    assert all(before <= key.int >> 80 <= after for key in keys)


def test_keys_are_unique_and_sort_by_the_time_of_their_making(admin: psycopg.Connection) -> None:
    keys = ids(admin, 20_000)
    assert len(set(keys)) == len(keys)
    # 48 bits of milliseconds and 12 bits of their fraction: what a page is ordered by.
    moments = [key.int >> 76 << 12 | (key.int >> 64) & 0xFFF for key in keys]
    assert moments == sorted(moments)


def test_keys_are_made_by_the_server_where_it_can(admin: psycopg.Connection) -> None:
    made_by = admin.execute("""
        select pg_get_expr(adbin, adrelid) from pg_attrdef
        join pg_attribute on attrelid = adrelid and attnum = adnum
        where adrelid = 'app.tasks'::regclass and attname = 'id'
    """).fetchone()
    assert made_by == ("uuidv7()" if admin.info.server_version >= 180000 else "app.uuidv7()",)
