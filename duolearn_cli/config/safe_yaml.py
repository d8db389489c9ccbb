"""Refuse YAML that costs far more than it says, before anything composes it: aliases, and endless nesting."""

from __future__ import annotations

DEEPEST = 50


def yaml_fault(text: str) -> str | None:
    """Return why a text is no YAML that a configuration needs; None if it may be parsed.

    A few lines of aliases can stand for gigabytes, and parsers call themselves once for each level.
    """
    import yaml

    begins = (
        *(yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken),
        *(yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken),
    )
    ends = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
    depth = 0
    try:
        for token in yaml.scan(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(token, (yaml.AliasToken, yaml.AnchorToken)):
                return "it has YAML aliases (&name, *name); write the values out"
            depth += isinstance(token, begins) - isinstance(token, ends)
            if depth > DEEPEST:
                return f"it is nested more than {DEEPEST} levels deep"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"not YAML: {' '.join(str(error).split())[:200]}"
    return None
