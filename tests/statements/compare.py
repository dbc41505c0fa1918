"""Two readers of the same files, statement by statement. See `compare`."""

import collections
import json
import pathlib
import re
import subprocess
import sys

from pglast import ast, enums, parser

COPY = re.compile(r"^\s*copy\b[^;]*\bfrom\s+stdin\b[^;]*;", re.I)


def without_psql(text):
    """Without backslash commands and without the rows of COPY … FROM stdin."""
    kept, rows = [], False
    for line in text.splitlines(keepends=True):
        if rows:
            rows = line.rstrip("\n") != "\\."
        elif line.lstrip().startswith("\\"):
            pass
        else:
            kept.append(re.sub(r"\\(gset|gexec|g|gx|crosstabview|gdesc|;)\b.*$", ";", line) if "\\g" in line else line)
            rows = bool(COPY.match(line))
    return "".join(kept)


def option(options, name):
    for item in options or ():
        if item.defname == name:
            value = item.arg
            text = getattr(value, "sval", None) or getattr(value, "boolval", None) or getattr(value, "ival", None)
            return value is None or str(text).lower() in ("true", "on", "1", "yes")
    return None


def expected(statement):
    """What the statement asks of a transaction, by PostgreSQL's documentation and PreventInTransactionBlock; None where a server decides."""
    kind = type(statement)
    if kind is ast.TransactionStmt:
        savepoint = enums.TransactionStmtKind
        inside = (savepoint.TRANS_STMT_SAVEPOINT, savepoint.TRANS_STMT_RELEASE, savepoint.TRANS_STMT_ROLLBACK_TO)
        return "Nothing" if statement.kind in inside else "Control"
    if kind is ast.IndexStmt:
        return "BuildIndex" if statement.concurrent else "Nothing"
    if kind is ast.DropStmt:
        return "Outside" if statement.concurrent else "Nothing"
    if kind is ast.AlterEnumStmt:
        return "Commit" if statement.newVal and not statement.oldVal else "Nothing"
    if kind is ast.VacuumStmt:
        return "Outside" if statement.is_vacuumcmd else "Nothing"
    if kind in (ast.CreatedbStmt, ast.DropdbStmt, ast.CreateTableSpaceStmt, ast.DropTableSpaceStmt, ast.AlterSystemStmt):
        return "Outside"
    if kind is ast.AlterDatabaseStmt:
        return "Outside" if any(item.defname == "tablespace" for item in statement.options or ()) else "Nothing"
    if kind is ast.ReindexStmt:
        if option(statement.params, "concurrently"):
            return "Outside"
        objects = enums.ReindexObjectType
        return None if statement.kind in (objects.REINDEX_OBJECT_INDEX, objects.REINDEX_OBJECT_TABLE) else "Outside"
    if kind is ast.ClusterStmt:
        return None if statement.relation else "Outside"
    if kind in (ast.CreateSubscriptionStmt, ast.AlterSubscriptionStmt, ast.DropSubscriptionStmt):
        return None
    if kind in (ast.CallStmt, ast.DoStmt):
        return "Opaque"
    if kind is ast.AlterTableStmt and any(
        command.subtype == enums.AlterTableType.AT_DetachPartition and command.def_.concurrent for command in statement.cmds
    ):
        return "Outside"
    return "Nothing"


SHARED = ("ROLE", "DATABASE", "TABLESPACE", "SUBSCRIPTION")


def reach(statement):
    """How far the statement reaches, by PostgreSQL's shared catalogs and by what COPY writes; None where code decides."""
    kind = type(statement)
    if kind in (ast.DoStmt, ast.ReassignOwnedStmt, ast.DropOwnedStmt):
        return None
    beyond = (
        ast.CreateRoleStmt, ast.AlterRoleStmt, ast.AlterRoleSetStmt, ast.DropRoleStmt, ast.GrantRoleStmt,
        ast.CreatedbStmt, ast.AlterDatabaseStmt, ast.AlterDatabaseSetStmt, ast.AlterDatabaseRefreshCollStmt, ast.DropdbStmt,
        ast.CreateTableSpaceStmt, ast.AlterTableSpaceOptionsStmt, ast.DropTableSpaceStmt, ast.AlterSystemStmt,
        ast.CreateSubscriptionStmt, ast.AlterSubscriptionStmt, ast.DropSubscriptionStmt,
    )
    if kind in beyond:
        return "Beyond"
    named = {f"OBJECT_{name}" for name in (*SHARED, "PARAMETER_ACL")}
    if kind in (ast.CommentStmt, ast.SecLabelStmt, ast.GrantStmt):
        return "Beyond" if statement.objtype.name in named else "Inside"
    if kind in (ast.RenameStmt,):
        return "Beyond" if statement.renameType.name in named else "Inside"
    if kind in (ast.AlterOwnerStmt,):
        return "Beyond" if statement.objectType.name in named else "Inside"
    if kind is ast.CopyStmt:
        return "Inside" if statement.is_from and not statement.is_program else "Beyond"
    return "Inside"


def verdict(own, tree):
    expected_reach = reach(tree)
    if expected_reach is not None and own["reach"] != expected_reach:
        return "wrong"
    return verdict_of_needs(own, tree)


def verdict_of_needs(own, tree):
    wanted = expected(tree)
    if wanted is None:
        return "right"
    if wanted == "Control":
        return "right" if own["control"] else "wrong"
    if own["control"]:
        set_transaction = isinstance(tree, ast.VariableSetStmt) and own["control"].startswith("Set")
        return "right" if set_transaction else "wrong"
    if own["needs"] == wanted:
        return "right"
    return "cautious" if own["needs"] in ("Opaque", "Undecided") else "wrong"


def pieces(text, data):
    """PostgreSQL's own boundaries, in bytes; None where its grammar does not take the text."""
    try:
        statements = parser.split(text, only_slices=True)
    except parser.ParseError:
        return None
    offsets = [(len(text[: part.start].encode()), len(text[: part.stop].encode())) for part in statements]
    return [(start + blanks(data[start:end]), end) for start, end in offsets]


def blanks(piece):
    """How many bytes of blanks and comments a statement begins with."""
    at = 0
    while True:
        rest = piece[at:]
        blank = re.match(rb"\s+|--[^\n]*\n?", rest)
        if blank:
            at += blank.end()
        elif rest.startswith(b"/*"):
            depth, at = 1, at + 2
            while depth and at < len(piece):
                two = piece[at : at + 2]
                depth += (two == b"/*") - (two == b"*/")
                at += 2 if two in (b"/*", b"*/") else 1
        else:
            return at


def main(reader, scratch, paths):
    counts, differing = collections.Counter(), []
    files = []
    for number, path in enumerate(paths):
        try:
            text = without_psql(pathlib.Path(path).read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            counts["files in another encoding"] += 1
            continue
        target = pathlib.Path(scratch, f"{number}.sql")
        target.write_text(text, encoding="utf-8")
        files.append((path, target, text))
    listed = "\n".join(str(target) for _, target, _ in files) + "\n"
    lines = subprocess.run([reader], input=listed, capture_output=True, text=True, check=True).stdout.splitlines()
    for (path, _, text), line in zip(files, map(json.loads, lines), strict=True):
        counts["files"] += 1
        data = text.encode()
        whole = None if line["fault"] is not None else pieces(text, data)
        if whole is not None:
            counts["files whose boundaries PostgreSQL tells"] += 1
            own = [(statement["start"], statement["end"]) for statement in line["statements"]]
            theirs = [(start, len(data[:end].rstrip(b"; \t\r\n\f\v"))) for start, end in whole if data[start:end].strip(b"; \t\r\n")]
            if [start for start, _ in own] != [start for start, _ in theirs]:
                counts["files with a wrong boundary"] += 1
                differing.append(f"{path}: {sorted(set(own) ^ set(theirs))[:2]}")
        for statement in line["statements"]:
            sql = data[statement["start"] : statement["end"]].decode()
            try:
                trees = parser.parse_sql(sql)
            except parser.ParseError:
                counts["statements that PostgreSQL refuses"] += 1
                continue
            counts["statements"] += 1
            if len(trees) != 1:
                found = "wrong"
            else:
                found = verdict(statement, trees[0].stmt)
            counts[found] += 1
            if found == "wrong":
                differing.append(f"{path}: {statement['needs']} {statement['reach']} {statement['control']}: {' '.join(sql.split())[:160]}")
    for line in differing[:60]:
        print(line)
    for name, count in counts.items():
        print(f"{count:8} {name}")
    return 1 if differing or not counts["statements"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
