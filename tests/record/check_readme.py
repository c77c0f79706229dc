"""Holds results/README.md against a real run file, read with h5py: every dataset, column, type, unit and meaning.

usage: check_readme.py MAKE_SAMPLE_RUN README
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import h5py


def text(value):
    """An attribute's or a cell's text. Fixed-length texts arrive as bytes without their padding."""
    return bytes(value).decode("utf-8") if isinstance(value, bytes) else str(value)


def type_name(dtype):
    return f"string[{dtype.itemsize}]" if dtype.kind == "S" else dtype.name


def tables_of_readme(readme):
    """{table: (about, [(column, type, unit, meaning)])}"""
    tables = {}
    for section in re.split(r"^### /", readme, flags=re.MULTILINE)[1:]:
        section = re.split(r"^## ", section, flags=re.MULTILINE)[0]
        name, _, rest = section.partition("\n")
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
                for line in rest.splitlines() if line.startswith("| `")]
        about = rest.strip().split("\n\n")[0].replace("\n", " ")
        tables[name.strip()] = (about, [(r[0].strip("`"), r[1], r[2], r[3]) for r in rows])
    return tables


def tables_of_file(file):
    tables = {}
    for name, dataset in file.items():
        if not isinstance(dataset, h5py.Dataset):
            continue
        attributes = dataset.attrs
        columns = [(column, type_name(dataset.dtype[column]), text(attributes[f"unit.{column}"]),
                    text(attributes[f"about.{column}"])) for column in dataset.dtype.names]
        extra = set(attributes) - {"about"} - {f"{kind}.{c[0]}" for c in columns for kind in ("unit", "about")}
        assert not extra, f"/{name} has attributes that nothing explains: {sorted(extra)}"
        tables[name] = (text(attributes["about"]), columns)
    return tables


def examples_of(readme):
    return re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)


def differences(readme_tables, file_tables):
    for name in sorted(set(readme_tables) | set(file_tables)):
        if name not in file_tables:
            yield f"/{name} is in the README and not in the file"
        elif name not in readme_tables:
            yield f"/{name} is in the file and not in the README"
        else:
            about_readme, columns_readme = readme_tables[name]
            about_file, columns_file = file_tables[name]
            if about_readme != about_file:
                yield f"/{name}: the README says\n    {about_readme}\n  and the file\n    {about_file}"
            for column in columns_readme:
                if column not in columns_file:
                    yield f"/{name}: only the README has {column}"
            for column in columns_file:
                if column not in columns_readme:
                    yield f"/{name}: only the file has {column}"
            if [c[0] for c in columns_readme] != [c[0] for c in columns_file]:
                yield f"/{name}: the columns have another order in the README"


def main(make_sample_run, readme_path):
    readme = pathlib.Path(readme_path).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        run = str(pathlib.Path(folder) / "run.h5")
        subprocess.run([make_sample_run, run], check=True)
        with h5py.File(run, "r") as file:
            found = list(differences(tables_of_readme(readme), tables_of_file(file)))
            for name in file.attrs:
                if f"`{name}`" not in readme:
                    found.append(f"the root attribute {name} is not in the README")
            for name, dataset in file.items():
                assert isinstance(dataset, h5py.Group) or len(dataset) == 3, f"/{name} has {len(dataset)} rows, not 3"
            assert "größer" in text(file["plan/text"][()])

        # The examples must run as they stand, on a closed file and on one whose writer was killed.
        killed = str(pathlib.Path(folder) / "killed.h5")
        subprocess.run([make_sample_run, killed, "--killed"], check=True)
        examples = examples_of(readme)
        assert len(examples) >= 3, "the README has lost its examples"
        for number, example in enumerate(examples):
            path = killed if "swmr=True" in example else run
            assert '"run.h5"' in example, f"example {number + 1} opens no run.h5"
            program = example.replace('"run.h5"', repr(path))
            try:
                subprocess.run([sys.executable, "-c", program], check=True, timeout=30, cwd=folder,
                               stdout=subprocess.DEVNULL)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                found.append(f"example {number + 1} does not run: {error}")
        with h5py.File(pathlib.Path(folder) / "copy.h5", "r") as copy:
            found += differences(tables_of_readme(readme), tables_of_file(copy))
        try:
            h5py.File(killed, "r").close()
            found.append("a killed writer's file opens without swmr=True: the README says otherwise")
        except OSError:
            pass
    for difference in found:
        print(difference)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
