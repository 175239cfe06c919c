"""Runs statements of SQL and prints the rows of the last one, its cells separated by blanks: books.py URL STATEMENT..."""

import sys

import psycopg

url, *statements = sys.argv[1:]
with psycopg.connect(url, autocommit=True) as books:
    for statement in statements:
        cursor = books.execute(statement)
    for row in cursor.fetchall() if cursor.description else []:
        print(*row)
