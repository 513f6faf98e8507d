"""Makes the copy of the template that is deployed to the local AWS.

`prepare.py TEMPLATE BUILT COPY` writes the SAM template as JSON, unchanged but
for where the code of each function lies: in `BUILT/<function>/`, where `cargo
lambda build` has put it, so that `sam build` has nothing left to do.
"""

import json
import pathlib
import sys

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


def main() -> None:
    template, built, copy = map(pathlib.Path, sys.argv[1:])
    document = yaml.load(template.read_text(), Loader=Template)
    for name, resource in document["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        # `sam build` would build it, and says so in the metadata.
        metadata = resource.pop("Metadata", {})
        properties = resource["Properties"]
        binary = (metadata.get("BuildProperties") or {}).get("Binary")
        folder = built / (binary or pathlib.Path(properties["CodeUri"]).name)
        if not (folder / "bootstrap").is_file():
            sys.exit(f"{name}: there is no {folder / 'bootstrap'}")
        properties["CodeUri"] = str(folder.resolve())
    copy.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
