"""Things that are used up, and things outside: iterators, generators, files, databases."""

from __future__ import annotations

from tests.notebook.replay.patterns import pattern

PATTERNS = [
    pattern(
        "an iterator, with the same source in several cells",
        """
        it = iter([10, 20, 30, 40])
        ---
        print(next(it))
        ---
        print(next(it))
        ---
        print(next(it))
        """,
        edit=(0, "it = iter([1, 2, 3, 4])"),
        probes=("list(it)",),
    ),
    pattern(
        "a generator half consumed",
        """
        def numbers():
            n = 0
            while True:
                n += 1
                yield n
        g = numbers()
        ---
        a = next(g)
        ---
        a = next(g)
        ---
        b = [next(g) for _ in range(2)]
        print(a, b)
        """,
        edit=(1, "a = next(g) + next(g)"),
        probes=("next(g)",),
    ),
    pattern(
        "a generator shared by two names and a list",
        """
        gen = (n * n for n in range(10))
        same = gen
        box = [gen]
        ---
        x = next(gen)
        ---
        y = next(same)
        ---
        z = next(box[0])
        print(x, y, z)
        """,
        edit=(1, "x = [next(gen), next(gen)]"),
        probes=("list(gen)",),
    ),
    pattern(
        "map, zip, enumerate, filter and chain objects",
        """
        import itertools
        m = map(str, [1, 2, 3])
        z = zip("ab", [1, 2])
        e = enumerate("xy")
        f = filter(None, [0, 1, 2])
        c = itertools.count(5)
        t1, t2 = itertools.tee([1, 2, 3])
        ---
        a = next(m), next(z), next(e), next(f), next(c), next(t1)
        ---
        b = list(m), list(z), list(e), list(f), next(c), list(t1), list(t2)
        print(a, b)
        """,
        edit=(1, "a = next(m), next(c)"),
    ),
    pattern(
        "an iterator over a list that grows",
        """
        items = [1, 2]
        it = iter(items)
        next(it)
        ---
        items.append(3)
        ---
        print(list(it))
        """,
        edit=(1, "items.append(4)"),
    ),
    pattern(
        "iterators in for loops with break",
        """
        it = iter(range(10))
        ---
        for x in it:
            if x == 3:
                break
        ---
        rest = list(it)
        print(x, rest)
        """,
        edit=(1, "for x in it:\n    if x == 5:\n        break"),
    ),
    pattern(
        "a generator with send, throw and close",
        """
        def echo():
            got = None
            while True:
                got = yield got
        g = echo(); next(g)
        ---
        a = g.send(1)
        ---
        g.close()
        ---
        print(a, list(g))
        """,
        edit=(1, "a = g.send(2)"),
    ),
    pattern(
        "an iterator class",
        """
        class Countdown:
            def __init__(self, n): self.n = n
            def __iter__(self): return self
            def __next__(self):
                if self.n == 0: raise StopIteration
                self.n -= 1
                return self.n
        c = Countdown(5)
        ---
        a = next(c)
        ---
        print(a, list(c))
        """,
        edit=(1, "a = next(c), next(c)"),
    ),
    pattern(
        "an open file half read",
        """
        with open("data.txt", "w") as f:
            f.write("one\\ntwo\\nthree\\n")
        ---
        handle = open("data.txt")
        ---
        print(handle.readline())
        ---
        print(handle.readline())
        ---
        handle.close()
        ---
        print(handle.closed)
        """,
        edit=(0, "with open('data.txt', 'w') as f:\n    f.write('uno\\ndos\\n')"),
        has_disk=True,
    ),
    pattern(
        "writing a file, then reading it",
        """
        text = "hello"
        ---
        with open("out.txt", "w") as f:
            f.write(text)
        ---
        with open("out.txt") as f:
            back = f.read()
        print(back)
        """,
        edit=(0, "text = 'edited'"),
        has_disk=True,
    ),
    pattern(
        "a file read that is another one's work",
        """
        import pathlib
        ---
        lines = pathlib.Path("input.csv").read_text().splitlines()
        ---
        import pandas as pd
        df = pd.read_csv("input.csv")
        df
        """,
        files={"input.csv": "a,b\n1,2\n"},
        edit=(1, "pathlib.Path('input.csv').write_text('a,b\\n5,6\\n')\nlines = []"),
        has_disk=True,
    ),
    pattern(
        "appending to a file",
        """
        with open("log.txt", "a") as f:
            f.write("line\\n")
        ---
        n = len(open("log.txt").readlines())
        print(n > 0)
        """,
        edit=(1, "n = open('log.txt').read().count('line')\nprint(n)"),
        unlike=("n",),
        has_disk=True,
    ),
    pattern(
        "a file written by a function of a library",
        """
        import json, numpy as np, pandas as pd, pickle
        value = [1, 2]
        ---
        json.dump(value, open("v.json", "w"))
        np.save("a.npy", np.arange(3))
        pd.DataFrame({"a": value}).to_csv("t.csv", index=False)
        with open("p.pkl", "wb") as f:
            pickle.dump(value, f)
        ---
        print(json.load(open("v.json")), np.load("a.npy"), pd.read_csv("t.csv")["a"].sum())
        ---
        print(pickle.load(open("p.pkl", "rb")))
        """,
        edit=(0, "import json, numpy as np, pandas as pd, pickle\nvalue = [3, 4]"),
        has_disk=True,
    ),
    pattern(
        "files made, renamed and removed",
        """
        import os, shutil, pathlib, tempfile
        os.makedirs("d", exist_ok=True)
        pathlib.Path("d/a.txt").write_text("a")
        ---
        os.rename("d/a.txt", "d/b.txt")
        ---
        print(sorted(os.listdir("d")), os.path.exists("d/a.txt"))
        ---
        shutil.rmtree("d")
        ---
        print(os.path.isdir("d"))
        """,
        edit=(1, "os.rename('d/a.txt', 'd/c.txt')"),
        has_disk=True,
    ),
    pattern(
        "a path in a variable",
        """
        name = "in" + ".txt"
        ---
        content = open(name).read()
        print(content)
        """,
        files={"in.txt": "first"},
        edit=(0, "name = 'in' + '.txt'\nopen(name, 'w').write('second')"),
        has_disk=True,
    ),
    pattern(
        "sqlite in memory",
        """
        import sqlite3
        con = sqlite3.connect(":memory:")
        con.execute("create table t (a int)")
        ---
        con.execute("insert into t values (1)")
        ---
        con.execute("insert into t values (2)")
        ---
        rows = con.execute("select a from t order by a").fetchall()
        rows
        """,
        edit=(1, "con.execute('insert into t values (10)')"),
    ),
    pattern(
        "sqlite in a file",
        """
        import sqlite3
        con = sqlite3.connect("db.sqlite")
        con.execute("drop table if exists t")
        con.execute("create table t (a int)")
        con.commit()
        ---
        with sqlite3.connect("db.sqlite") as other:
            other.execute("insert into t values (5)")
        other.close()
        ---
        print(con.execute("select sum(a) from t").fetchone())
        con.close()
        """,
        edit=(1, "pass"),
        has_disk=True,
        # SQLite's file holds counters of changes
    ),
    pattern(
        "StringIO and BytesIO positions",
        """
        import io
        s = io.StringIO("line 1\\nline 2\\n")
        b = io.BytesIO()
        ---
        first = s.readline()
        b.write(b"abc")
        ---
        second = s.readline()
        b.write(b"def")
        print(first, second, b.getvalue())
        """,
        edit=(1, "first = s.read(3)"),
    ),
    pattern(
        "locks, events and queues",
        """
        import queue, threading
        lock, event, q = threading.Lock(), threading.Event(), queue.Queue()
        ---
        lock.acquire()
        event.set()
        q.put(1)
        ---
        print(lock.locked(), event.is_set(), q.qsize())
        ---
        lock.release()
        got = q.get()
        print(got, lock.locked())
        """,
        edit=(1, "event.set(); q.put(2); lock.acquire()"),
    ),
    pattern(
        "stdin is not there",
        """
        x = 1
        ---
        y = input("name? ")
        ---
        print(x)
        """,
        never=(1,),
    ),
    pattern(
        "printing of sets",
        """
        s = {"pear", "apple", "fig"}
        ---
        print(s)
        ---
        t = list(s)
        t
        """,
        edit=(0, "s = {'pear', 'apple', 'kiwi'}"),
    ),
    pattern(
        "streams replaced for a while",
        """
        import contextlib, io, sys
        buffer = io.StringIO()
        with contextlib.redirect_stdout(buffer):
            print("inside")
        print("outside", buffer.getvalue())
        ---
        old = sys.stdout
        sys.stdout = io.StringIO()
        print("lost")
        text = sys.stdout.getvalue()
        sys.stdout = old
        ---
        print(text)
        """,
        edit=(1, "text = 'edited'"),
        unlike=("old",),
    ),
    pattern(
        "a stream replaced over two cells",
        """
        import io, sys
        old = sys.stdout
        ---
        sys.stdout = io.StringIO()
        ---
        print("caught")
        ---
        text = sys.stdout.getvalue()
        sys.stdout = old
        ---
        print(repr(text))
        """,
        edit=(2, "print('caught differently')"),
        unlike=("old",),
    ),
    pattern(
        "asyncio objects",
        """
        import asyncio
        q = asyncio.Queue()
        ---
        await q.put(5)
        ---
        print(await q.get(), q.empty())
        """,
        edit=(1, "await q.put(6)"),
    ),
    pattern(
        "a coroutine awaited in a later cell",
        """
        async def f():
            return 3
        ---
        c = f()
        ---
        print(await c)
        """,
        edit=(0, "async def f():\n    return 4"),
    ),
    pattern(
        "subprocesses",
        """
        import subprocess
        ---
        out = subprocess.run(["cat", "note.txt"], capture_output=True, text=True).stdout
        print(out)
        ---
        subprocess.run("echo changed > note.txt", shell=True)
        ---
        import os
        print(os.popen("cat note.txt").read())
        """,
        files={"note.txt": "original"},
        edit=(2, "subprocess.run('echo again > note.txt', shell=True)"),
        has_disk=True,
    ),
    pattern(
        "a csv writer left open",
        """
        import csv
        handle = open("rows.csv", "w", newline="")
        writer = csv.writer(handle)
        ---
        writer.writerow([1, 2])
        ---
        writer.writerow([3, 4])
        handle.flush()
        ---
        print(open("rows.csv").read())
        """,
        edit=(1, "writer.writerow([9])"),
        has_disk=True,
    ),
    pattern(
        "a regex scanner and a match",
        """
        import re
        scan = re.finditer(r"\\d+", "1 22 333")
        ---
        m = next(scan)
        ---
        n = next(scan)
        print(m.group(), n.group(), n.span())
        """,
        edit=(1, "m = next(scan); m = next(scan)"),
        probes=("[x.group() for x in scan]",),
    ),
    pattern(
        "a chunked reader",
        """
        import io, pandas as pd
        chunks = pd.read_csv(io.StringIO("a\\n1\\n2\\n3\\n4\\n"), chunksize=2)
        ---
        first = next(chunks)
        ---
        second = next(chunks)
        print(first["a"].tolist(), second["a"].tolist())
        """,
        edit=(1, "first = chunks.get_chunk(1)"),
    ),
]
