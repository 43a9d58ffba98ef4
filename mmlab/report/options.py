"""What the person who hands in a report may say about it in `<results>/report.yml`."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from mmlab.config import suggest
from mmlab.errors import ConfigError

OPTIONS = "report.yml"
LANGUAGES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.yml")))  # a file of words for each


@dataclass(frozen=True)
class ReportOptions:
    """Who hands the report in, its title and language, and an aim and conclusions in their own words."""

    name: str = ""
    number: str = ""
    title: str = ""
    language: str = "en"
    aim: str = ""
    conclusions: str = ""

    @classmethod
    def read(cls, path: Path) -> "ReportOptions":
        """The options in a YAML file; blanks where there is none. Raises ConfigError naming the file and the fix."""
        if not path.exists():
            return cls()
        try:
            # BaseLoader leaves every value the text it was written as: a student number keeps its zeros, and no is no.
            text = path.read_text(encoding="utf-8-sig")
            node, data = yaml.compose(text, yaml.BaseLoader), yaml.load(text, yaml.BaseLoader) or {}
        except UnicodeError:
            raise ConfigError(f"{path}: is not UTF-8. Save it as UTF-8.") from None
        except OSError as error:
            fix = "Make it a text file, or remove it."
            raise ConfigError(f"{path}: cannot be read ({error.strerror}). {fix}") from None
        except yaml.YAMLError as error:
            where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
            why = str(error).splitlines()[0]
            raise ConfigError(f"{path}{where}: is not YAML ({why}). Write `name: ...`.") from None
        known = list(cls.__dataclass_fields__)
        if not isinstance(data, dict):
            raise ConfigError(f"{path}: write one `key: value` per line. Known: {', '.join(known)}.")
        for key, value in data.items():
            if key not in known:
                raise ConfigError(f"{path}: there is no option {key!r}.{suggest(str(key), known)}")
            if isinstance(value, dict | list):
                raise ConfigError(f"{path}: {key} must be a text.")
        if node is not None and len(node.value) > len(data):
            raise ConfigError(f"{path}: an option is given twice. Keep one of them.")
        options = cls(**data)
        check_language(options.language, str(path))
        return options


def check_language(language: str, where: str) -> None:
    """Raise ConfigError for a language in which there are no words."""
    if language not in LANGUAGES:
        raise ConfigError(f"{where}: language {language!r} is unknown. Use one of {', '.join(LANGUAGES)}.")
