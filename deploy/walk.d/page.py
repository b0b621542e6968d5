"""Reads the walk of docs/operations.md, "From nothing to a watched server": its steps, and the commands of each.

    page.py steps         The steps, one a line: number, a tab, title.
    page.py commands N    The sh blocks of step N in their order, and its questions in PromQL and SQL, asked as runbook.md
                          says; a line 'Carry out [Heading](page.md#anchor).' stands for those below that heading. A
                          comment before each says where it stands.
"""

import pathlib
import re
import shlex
import sys

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
WALK = "from-nothing-to-a-watched-server"
HEADING = re.compile(r"(#+) (.*)")
STEP = re.compile(r"### (\d+)\. (.*)")
ASKED_BY = {"promql": "promtool query instant http://127.0.0.1:9090", "sql": "cd /tmp; sudo -u postgres psql aura -c"}
CARRY_OUT = re.compile(r"Carry out \[(.*)\]\(([a-z-]+\.md)?#([a-z0-9-]+)\)\.")


def anchor(heading):
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def outside_blocks(lines):
    """The lines, each with the language of the block that it stands in, or None."""
    language = None
    for line in lines:
        if line.startswith("```"):
            language = None if language is not None else line[3:].strip()
            yield line, ""
        else:
            yield line, language


def chapter(page, wanted):
    """The lines below a heading, up to the next that is as high, each with its block's language."""
    depth = 0
    found = []
    for line, language in outside_blocks((DOCS / page).read_text(encoding="utf-8").splitlines()):
        heading = HEADING.fullmatch(line) if language is None else None
        if heading and depth and len(heading[1]) <= depth:
            break
        if heading and not depth and anchor(heading[2]) == wanted:
            depth = len(heading[1])
        elif depth:
            found.append((line, language))
    if not depth:
        sys.exit(f"docs/{page} has no chapter #{wanted}")
    return found


def commands(page, lines, heading):
    title = heading
    told = None
    question = []
    for line, language in lines:
        if language is None and (below := HEADING.fullmatch(line)):
            title = below[2]
        if language is None and (other := CARRY_OUT.fullmatch(line)):
            other_page = other[2] or page
            yield from commands(other_page, chapter(other_page, other[3]), other[1])
        elif language is None and line.startswith("Carry out"):
            sys.exit(f"docs/{page}: this leads to no chapter: {line}")
        if language in ASKED_BY:
            question.append(line)
        elif question:
            yield f"{ASKED_BY[asked]} {shlex.quote(chr(10).join(question))}"
            question = []
        asked = language
        if language == "sh":
            if told != title:
                told = title
                yield f"# ---- docs/{page}: {title}"
            yield line


def steps():
    number, title, lines = 0, "", []
    for line, language in chapter("operations.md", WALK):
        if language is None and (step := STEP.fullmatch(line)):
            if number:
                yield number, title, lines
            number, title, lines = int(step[1]), step[2], []
        else:
            lines.append((line, language))
    yield number, title, lines


def main():
    match sys.argv[1:]:
        case ["steps"]:
            for number, title, _ in steps():
                print(f"{number}\t{title}")
        case ["commands", wanted]:
            for number, title, lines in steps():
                if number == int(wanted):
                    print(*commands("operations.md", lines, title), sep="\n")
                    return
            sys.exit(f"there is no step {wanted}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
