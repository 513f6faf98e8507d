"""Prepares the copy of the template that is deployed to the local AWS.

`prepare.py TEMPLATE BINARIES ARCHIVES COPY` packs each function from
`BINARIES/<function>` into `ARCHIVES/<function>.zip`, and writes the SAM template
as JSON with these archives as its `CodeUri`s. `sam` would pack every function at
each start, and compress more than a local copy needs.
"""

import hashlib
import json
import os
import pathlib
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import yaml


class Template(yaml.SafeLoader):
    """YAML with CloudFormation's short forms (`!Sub x` is `Fn::Sub: x`)."""


def long_form(loader: Template, name: str, node: yaml.Node) -> dict:
    """Returns the mapping that a short form stands for."""
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if name == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


Template.add_multi_constructor("!", long_form)
# CloudFormation reads "2012-10-17" as a string, YAML as a date.
Template.add_constructor("tag:yaml.org,2002:timestamp", Template.construct_yaml_str)


def serverless_functions(document: dict) -> dict[str, dict]:
    """Returns the properties of each function, by its folder."""
    return {
        pathlib.Path(resource["Properties"]["CodeUri"]).name: resource["Properties"]
        for resource in document["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def pack(binary: pathlib.Path, archive: pathlib.Path) -> None:
    """Packs a function, unless the archive already holds the same code."""
    if not binary.is_file():
        sys.exit(f"{binary} has not been built")
    code = binary.read_bytes()
    # The comment of the archive holds the hash of the code.
    code_hash = hashlib.sha256(code).hexdigest().encode()
    if archive.exists():
        with zipfile.ZipFile(archive) as packed:
            if packed.comment == code_hash:
                return
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(partial, "w") as packed:
        packed.comment = code_hash
        packed.writestr(entry, code, compresslevel=1)
    partial.rename(archive)


def main() -> None:
    template, binaries, archives, copy = map(pathlib.Path, sys.argv[1:])
    document = yaml.load(template.read_text(), Loader=Template)
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # For `sam build` only.
            resource.pop("Metadata", None)
    functions = serverless_functions(document)
    with ThreadPoolExecutor(os.cpu_count()) as packers:
        jobs = [
            packers.submit(pack, binaries / name, archives / f"{name}.zip") for name in functions
        ]
        for job in jobs:
            job.result()
    for name, properties in functions.items():
        properties["CodeUri"] = str((archives / f"{name}.zip").resolve())
    copy.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
