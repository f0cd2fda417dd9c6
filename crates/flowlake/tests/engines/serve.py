# Keeps one engine at work and answers statements over HTTP as ClickHouse does, so that many questions
# pay its start once. Spark is a cluster of its own: a master and two workers, on loopback.
#
# serve.py ENGINE ENGINE_PY: prints its port, and ends when standard input does.
import http.server
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

engine, script = sys.argv[1], sys.argv[2]
spec = importlib.util.spec_from_file_location("engine", script)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
children = []
directories = []


def cluster():
    import pyspark

    home = os.path.dirname(pyspark.__file__)
    scratch = tempfile.mkdtemp(prefix="spark")
    directories.append(scratch)
    os.environ.update(
        SPARK_HOME=home,
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_WORKER_DIR=scratch,
        SPARK_LOCAL_DIRS=scratch,
        PYSPARK_PYTHON=sys.executable,
    )

    def start(what, *words):
        command = [f"{home}/bin/spark-class", f"org.apache.spark.deploy.{what}", "--host", "127.0.0.1"]
        child = subprocess.Popen(
            [*command, "--webui-port", "0", *words], stderr=subprocess.PIPE, text=True
        )
        children.append(child)
        return child

    def wait(child, pattern):
        for line in child.stderr:
            if found := re.search(pattern, line):
                # Nobody waits for a log that is full.
                threading.Thread(target=lambda: [None for _ in child.stderr], daemon=True).start()
                return found[0]
        sys.exit(f"spark ended: {child.wait()}")

    master = start("master.Master", "--port", "0")
    url = wait(master, r"spark://127\.0\.0\.1:\d+")
    for worker in [
        start("worker.Worker", "--cores", "1", "--memory", "1g", url) for _ in range(2)
    ]:
        wait(worker, "Successfully registered with master")
    return url


def clickhouse_session():
    from chdb.session import Session

    session = Session()

    def ask(statement):
        text = session.query(statement, "TabSeparated").bytes().decode()
        return (line.split("\t") for line in text.splitlines())

    return ask


def rows():
    if engine == "duckdb":
        return module.duckdb_rows()
    if engine == "clickhouse":
        return clickhouse_session()
    options = {
        "spark.sql.shuffle.partitions": "2",
        # Questions that come together share both workers.
        "spark.scheduler.mode": "FAIR",
    }
    return module.spark_rows(cluster(), options)


answers = {}


def answer(statement):
    # Many questions ask for the same sums beside their table: Spark need not add them up again.
    if engine != "spark" or statement not in answers:
        lines = ["\t".join("\\N" if v is None else str(v) for v in row) for row in ask(statement)]
        answers[statement] = "".join(line + "\n" for line in lines)
    return answers[statement]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        statement = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            status, body = 200, answer(statement)
        except Exception as error:
            status, body = 500, " ".join(str(error).split())[:1000] + "\n"
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


try:
    ask = rows()
    # Spark takes several at once, the others have one connection.
    kind = http.server.ThreadingHTTPServer if engine == "spark" else http.server.HTTPServer
    server = kind(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()
finally:
    if engine == "spark":
        from pyspark.sql import SparkSession

        # Ends what works for it on the workers, which have files there.
        if session := SparkSession._instantiatedSession:
            session.stop()
    for child in children:
        child.terminate()
    for child in children:
        child.wait()
    for directory in directories:
        # Whoever has just been told to end may still write there.
        for _ in range(100):
            shutil.rmtree(directory, ignore_errors=True)
            if not os.path.exists(directory):
                break
            time.sleep(0.1)
