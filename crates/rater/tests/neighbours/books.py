"""Runs statements of SQL and prints the rows of the last one, its cells separated by blanks: books.py URL STATEMENT...

    books.py --hold URL STATEMENT...    runs them in a transaction and keeps it open until it is killed
"""

import signal
import sys

import psycopg

holds = sys.argv[1] == "--hold"
url, *statements = sys.argv[1 + holds:]
with psycopg.connect(url, autocommit=not holds) as books:
    for statement in statements:
        cursor = books.execute(statement)
    if holds:
        print("held", file=sys.stderr, flush=True)
        signal.pause()
    for row in cursor.fetchall() if cursor.description else []:
        print(*row)
