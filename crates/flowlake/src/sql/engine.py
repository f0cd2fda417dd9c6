# Answers statements: read from standard input, each ended by a record separator, answered by lines of
# values between tabs, each answer ended by a line of that separator.
import sys

END = "\x1e"


def package(engine):
    return {"duckdb": "duckdb", "spark": "pyspark", "clickhouse": "chdb"}[engine]


def duckdb_rows():
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")

    def rows(statement):
        found = connection.execute(statement)
        while batch := found.fetchmany(10000):
            yield from batch

    return rows


def spark_rows(master, options={}):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("flowlake")
    if master:
        builder = builder.master(master)
    for key, value in {
        # Nanoseconds are numbers for it.
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **options,
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return lambda statement: session.sql(statement).toLocalIterator()


def clickhouse_rows():
    import chdb

    def rows(statement):
        text = chdb.query(statement, "TabSeparated").bytes().decode()
        return (line.split("\t") for line in text.splitlines())

    return rows


def main():
    engine, master = sys.argv[1], sys.argv[2]
    try:
        if engine == "duckdb":
            rows = duckdb_rows()
        elif engine == "spark":
            rows = spark_rows(master)
        else:
            rows = clickhouse_rows()
    except ImportError as error:
        name = package(engine)
        sys.exit(
            f"flowlake: {sys.executable} has no {name} ({error}): install it with pip install {name},"
            " or name another Python with --python"
        )
    out = sys.stdout
    for statement in sys.stdin.read().split(END)[:-1]:
        try:
            for row in rows(statement):
                out.write("\t".join("\\N" if v is None else str(v) for v in row) + "\n")
        except BrokenPipeError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:500]
            sys.exit(f"flowlake: {engine} refuses the statement: {said}")
        out.write(END + "\n")
    out.flush()


if __name__ == "__main__":
    main()
