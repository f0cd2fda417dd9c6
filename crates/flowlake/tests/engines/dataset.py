# Makes a small dataset of what flowdump prints: an independent reading of the columns.
#
# dataset.py DIRECTORY COLUMNS, with lines of JSON on standard input; COLUMNS are NAME:TYPE:KEY with
# commas between, KEY being that of the JSON.
import datetime
import ipaddress
import json
import os
import sys
import tempfile

import duckdb

directory, columns = sys.argv[1], [c.split(":") for c in sys.argv[2].split(",")]
TYPES = {"Int32": "INTEGER", "Int64": "BIGINT", "Addr4": "BIGINT", "Timestamp": "TIMESTAMP_NS"}
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}


def value(kind, key, flow):
    if kind in ("Addr16", "Addr4", "AddrText"):
        text = flow.get(key.replace("{}", "4"), flow.get(key.replace("{}", "6")))
        if text is None:
            return None
        addr = ipaddress.ip_address(text)
        if kind == "AddrText":
            return text
        if kind == "Addr4":
            return int(addr) if addr.version == 4 else None
        return "%032X" % (int(addr) + (0xFFFF00000000 if addr.version == 4 else 0))
    found = flow.get(key)
    if found is None or kind not in ("Int32", "Int64", "Timestamp"):
        return None
    if key == "tcp_flags":
        return sum(FLAGS.get(letter, 0) for letter in found)
    if kind == "Timestamp":
        return found.replace("T", " ")
    return int(found) if isinstance(found, int) else None


hours = {}
for line in sys.stdin:
    flow = json.loads(line)
    # Type and code of ICMP are the destination port.
    if "icmp_type" in flow:
        flow["dst_port"] = flow["icmp_type"] * 256 + flow["icmp_code"]
    row = [value(kind, key, flow) for _, kind, key in columns]
    hours.setdefault(flow["first"][:13], []).append(row)

connection = duckdb.connect()
for hour, rows in hours.items():
    date, hour = hour.split("T")
    path = f"{directory}/date={date}/hour={hour}/exporter=none"
    os.makedirs(path)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        for row in rows:
            named = {name: v for (name, *_), v in zip(columns, row)}
            file.write(json.dumps(named) + "\n")
        file.flush()
        texts = {name: "VARCHAR" for name, *_ in columns}
        of = lambda name, kind: (
            f"unhex({name})" if kind in ("Addr16", "Mac", "Acl", "Bytes")
            else f"CAST({name} AS {TYPES.get(kind, 'VARCHAR')})"
        )
        selected = ", ".join(f"{of(name, kind)} AS {name}" for name, kind, _ in columns)
        connection.execute(
            f"COPY (SELECT {selected} FROM read_json('{file.name}', columns = {texts}) ORDER BY"
            f" flow_start) TO '{path}/a.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )
