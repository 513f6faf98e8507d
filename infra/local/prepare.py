"""Makes the copy of the template that is deployed to the local AWS.

`prepare.py TEMPLATE BUILT COPY` writes the SAM template as JSON, unchanged but
for where the code of each function lies: in `BUILT/<function>/bootstrap.zip`,
packed here from what `cargo lambda build` has put beside it. `sam` would pack
all of it again at each start, and harder than is good for a local copy.
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
    """The mapping that a short form stands for."""
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
# "2012-10-17" is a string to CloudFormation, and not a date.
Template.add_constructor("tag:yaml.org,2002:timestamp", Template.construct_yaml_str)


def pack(bootstrap: pathlib.Path) -> pathlib.Path:
    """The archive of a function, made anew only when its code has changed."""
    archive = bootstrap.with_suffix(".zip")
    code = bootstrap.read_bytes()
    # The archive's own comment tells what it was made from.
    made_from = hashlib.sha256(code).hexdigest().encode()
    if archive.exists():
        with zipfile.ZipFile(archive) as packed:
            if packed.comment == made_from:
                return archive
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    partial = archive.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(partial, "w") as packed:
        packed.comment = made_from
        packed.writestr(entry, code, compresslevel=1)
    partial.rename(archive)
    return archive


def main() -> None:
    template, built, copy = map(pathlib.Path, sys.argv[1:])
    document = yaml.load(template.read_text(), Loader=Template)
    functions = {
        name: resource
        for name, resource in document["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    bootstraps = []
    for name, resource in functions.items():
        # How `sam build` would build it.
        resource.pop("Metadata", None)
        folder = pathlib.Path(resource["Properties"]["CodeUri"]).name
        bootstraps.append(built / folder / "bootstrap")
        if not bootstraps[-1].is_file():
            sys.exit(f"{name}: there is no {bootstraps[-1]}")
    with ThreadPoolExecutor(os.cpu_count()) as packers:
        archives = packers.map(pack, bootstraps)
    for resource, archive in zip(functions.values(), archives, strict=True):
        resource["Properties"]["CodeUri"] = str(archive.resolve())
    copy.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
