# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the shell steps of action.yml and of the template for GitLab literally, with the inputs of a test. This is neither GitHub nor GitLab: it knows the few
expressions and keys that these two files use, refuses others, and does not run steps with 'uses'."""

import os
import re
import subprocess
from dataclasses import dataclass, field

import yaml

TERM = re.compile(r"\s*(?:(?P<not>!)|(?P<call>always)\(\)|'(?P<text>(?:[^']|'')*)'|(?P<name>[a-z]+(?:\.[\w-]+)+))\s*")


@dataclass
class Done:
    status: int
    out: str
    outputs: dict = field(default_factory=dict)
    summary: str = ""
    uses: list = field(default_factory=list)  # of the steps that would have run elsewhere: (what, with)


def term(text, names, failed):
    match = TERM.fullmatch(text)
    assert match and not match["not"], f"the runner does not know the expression '{text}'"
    if match["call"]:
        return True
    return match["text"].replace("''", "'") if match["text"] is not None else names.get(match["name"], "")


def evaluate(text, names, failed=False):
    """A term, or comparisons of terms joined by &&."""
    values = []
    for part in text.split("&&"):
        sides = re.split(r"(==|!=)", part)
        values.append(term(part, names, failed) if len(sides) == 1 else
                      (term(sides[0], names, failed) == term(sides[2], names, failed)) == (sides[1] == "=="))  # fmt: skip
    return values[0] if len(values) == 1 else all(values)


def filled(text, names):
    return re.sub(r"\$\{\{(.*?)\}\}", lambda m: str(evaluate(m[1], names)), text)


def run_action(path, inputs, folder, environment):
    """All steps in the folder as working directory."""
    action = yaml.safe_load(path.read_text())
    assert action["runs"]["using"] == "composite"
    assert set(inputs) <= set(action["inputs"])
    missing = [name for name, about in action["inputs"].items() if about.get("required") and name not in inputs]
    assert not missing, missing
    names = {f"inputs.{name}": inputs.get(name, about.get("default", "")) for name, about in action["inputs"].items()}
    done = Done(0, "")
    summary = folder / "step-summary"
    summary.touch()
    for number, step in enumerate(action["runs"]["steps"]):
        assert set(step) <= {"name", "id", "if", "shell", "env", "run", "uses", "with"}, step
        condition = step.get("if", "${{ always() }}").removeprefix("${{").removesuffix("}}").strip()
        if (done.status != 0 and "always()" not in step.get("if", "")) or not evaluate(condition, names):
            continue
        if "uses" in step:
            done.uses.append((step["uses"], {key: filled(value, names) for key, value in step["with"].items()}))
            continue
        assert step["shell"] == "bash" and "${{" not in step["run"], "inputs come to a script by its environment only"
        script, outputs = folder / f"step-{number}.sh", folder / f"step-{number}.outputs"
        script.write_text(step["run"])
        outputs.touch()
        env = {**environment, **{key: filled(value, names) for key, value in step.get("env", {}).items()}, "GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)}
        run = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", script], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=300)  # fmt: skip
        done.out += run.stdout.decode(errors="replace")
        done.status = done.status or run.returncode
        if "id" in step:
            for line in outputs.read_text().splitlines():
                name, _, value = line.partition("=")
                names[f"steps.{step['id']}.outputs.{name}"] = value
    done.outputs = {name: filled(about["value"], names) for name, about in action["outputs"].items()}
    done.summary = summary.read_text()
    return done


def merged(base, over):
    """As GitLab's 'extends' does it: objects are merged, all else is replaced."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: merged(base[key], value) if key in base else value for key, value in over.items()}}


def gitlab_job(path, name):
    jobs = yaml.safe_load(path.read_text())
    job = jobs[name]
    while "extends" in job:
        above = job.pop("extends")
        job = merged(jobs[above], job)
    assert set(job) <= {"variables", "before_script", "script", "artifacts"}, job
    return job


def run_gitlab(path, name, variables, folder, environment):
    """(Done, the job's artifacts with their variables filled in)"""
    job = gitlab_job(path, name)
    values = {**job["variables"], **variables}
    run = subprocess.run(["sh", "-e", "-c", "\n".join([*job["before_script"], *job["script"]])], cwd=folder, env={**environment, **values}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)  # fmt: skip
    artifacts = [os.path.expandvars(os.path.join(folder, re.sub(r"\$(\w+)", lambda m: values[m[1]], place)))
                 for place in [*job["artifacts"]["paths"], *job["artifacts"].get("reports", {}).values()]]
    return Done(run.returncode, run.stdout.decode(errors="replace")), artifacts
