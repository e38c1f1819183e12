"""Which programming language a text is in: by its file's name, else by its lines.

Only languages with a grammar are known. Lines are counted that hardly occur outside the
language; a text in which they are rare is no source code, whatever else it may be. The
grammar has the last word: a text that it cannot parse is left alone.
"""

import re

SUFFIXES = {
    "py": "python", "pyi": "python", "pyx": "python",
    "js": "javascript", "mjs": "javascript", "cjs": "javascript", "jsx": "javascript",
    "ts": "typescript", "mts": "typescript", "cts": "typescript", "tsx": "tsx",
    "go": "go", "rs": "rust", "java": "java",
    "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "cxx": "cpp", "hpp": "cpp",
    "hh": "cpp", "hxx": "cpp", "rb": "ruby", "php": "php", "cs": "c_sharp",
    "sh": "bash", "bash": "bash",
}  # fmt: skip

_SHEBANG = re.compile(r"#!.*\b(python|node|ruby|php|bash|sh|zsh|dash|ksh)[\d.]*\b")
_INTERPRETERS = {"node": "javascript", "python": "python", "ruby": "ruby", "php": "php"}

# All of these behind a line end, not at a line's start: a search that begins with a
# literal is much faster.
_NO_SOURCE = re.compile(
    r"\n(?:diff --git |@@ -\d|\+\+\+ |(?i:<html|<!doctype|traceback \(most)"
    r"|#{2,6} \w|={6,}$|-{6,}$|\$ \w"
    # Perl: without a grammar here, it would keep the parser of Rust busy.
    r"|use (?:strict|warnings|utf8|v?5[.\d]*)\b|my [$@%(]|sub \w+ ?\{)",
    re.MULTILINE,
)
_SIGNS = {
    name: re.compile(f"\n{pattern}", re.MULTILINE)
    for name, pattern in {
        "python": r"(?:[ \t]*(?:async )?def \w+\([^\n]*|[ \t]*class \w+[^\n]*:"
        r"|import [\w.]+|from [\w.]+ import |[ \t]*@\w[\w.]*(?:\(.*)?$"
        r"|[ \t]*(?:el)?if .*:$|[ \t]+return\b|[ \t]+self\.\w+ = )",
        "javascript": r"[ \t]*(?:export |import .* from ['\"]"
        r"|(?:const|let|var) [\w{\[]"
        r"|(?:async )?function\b|module\.exports|return\b.*;$|\}\)?[;,]?$|if \(.*\{$"
        r"|[\w.]+ = function)",
        "typescript": r"[ \t]*(?:(?:export |declare )*(?:interface|type|enum|namespace"
        r"|abstract class) \w|[\w?]+\??: [\w\[\]<>| ]+;$"
        r"|(?:public|private|readonly) \w+[(:?]|import type |\w+\(.*\): .*[{;]$)",
        "go": r"(?:package \w+$|func [\w(]|import \(|type \w+ (?:struct|interface)\b"
        r"|\t+(?:if err != nil|return\b|defer |\w+ :?= |for .*\{$)|\t*\}$)",
        "rust": r"[ \t]*(?:pub(?:\(\w+\))? \w|fn \w|use [\w:{]+|impl\b|mod \w+|#!?\["
        r"|let (?:mut )?\w|(?:match|if|for|while) .*\{$|//[/!] |\}\)?[;,]?$)",
        "java": r"[ \t]*(?:package [\w.]+;|import (?:static )?[\w.*]+;|@\w+"
        r"|(?:public|private|protected|static|final) .*[({;]$|return\b.*;$|\}$)",
        "c_sharp": r"[ \t]*(?:using [\w.]+;|namespace [\w.]+|\[\w+.*\]$|\{ get; "
        r"|(?:public|private|protected|internal|static|override) .*[({;]?$"
        r"|return\b.*;$|[{}]$)",
        "c": r"(?:[^\S\n]*#\s*(?:include|define|if|ifdef|ifndef|endif|undef|pragma)\b"
        r"|(?:static|extern|typedef|struct|enum|void|int|char|unsigned|const)"
        r" .*[({;,]$"
        r"|[A-Za-z_][\w ]*[ *]+\w+\(.*|[ \t]+return\b.*;$|[ \t]*\}$|[ \t]+if \(.*)",
        "cpp": r"[ \t]*(?:template ?<|namespace \w+|class \w+.*[{:;]?$"
        r"|public:|private:"
        r"|protected:|using \w|virtual |(?:[^\n:]++|:)*?(?<=\w)::\w+\(|#include <\w+>)",
        "ruby": r"[ \t]*(?:def [\w.]+|require(?:_relative)? ['\"]|module [A-Z]"
        r"|class [A-Z]\w*|end$|attr_\w+ :|include [A-Z]|.* do(?: \|.*\|)?$|@\w+ = )",
        "php": r"[ \t]*(?:<\?php|\$\w+ ?=|\$this->|namespace [\w\\]+;|use [\w\\]+;"
        r"|(?:abstract |final |public |private |protected |static )*function \w"
        r"|return\b.*;$|\}$)",
        "bash": r"[ \t]*(?:if \[|fi$|done$|esac$|then$|else$"
        r"|(?:function )?\w+ ?\(\) ?\{"
        r"|local \w+|export \w+=|\w+=[\"'$]|echo |set -|case .* in$|;;$)",
    }.items()
}
# What only the language itself has: without one of these its lines are another's.
_PROOF = {
    "php": re.compile(r"<\?php"),
    "go": re.compile(r"\npackage \w+$", re.MULTILINE),
    "rust": re.compile(r"\n[^\S\n]*(?:pub )?(?:fn \w+|impl\b|use \w+::)"),
    "java": re.compile(r"\n(?:package|import) [\w.*]+;"),
    "c_sharp": re.compile(r"\n[^\S\n]*(?:using [\w.]+;|namespace [\w.]+)"),
    "cpp": re.compile(r"\n[^\S\n]*(?:#\s*include|template ?<|namespace \w)"),
    "c": re.compile(r"\n[^\S\n]*#\s*(?:include|define|ifn?def)\b"),
    "typescript": re.compile(
        r"\n[^\S\n]*(?:export |declare )*(?:interface|type|namespace|enum) \w"
        r"|: (?:string|number|boolean|void|any)\b"
    ),
    "ruby": re.compile(r"\n[^\S\n]*(?:end|def [\w.?!]+.*)$", re.MULTILINE),
    "bash": re.compile(
        r"\n(?:[^\S\n]*(?:fi|done|esac|\w+ ?\(\) ?\{)$|#!)", re.MULTILINE
    ),
}
# How the lines begin that hold a proof; to look them up costs nearly nothing. The other
# proofs may stand anywhere.
_PROOF_STARTS = {
    "go": frozenset({"package"}),
    "rust": frozenset({"pub", "fn", "impl", "use"}),
    "java": frozenset({"package", "import"}),
    "c_sharp": frozenset({"using", "namespace"}),
    "cpp": frozenset({"#", "#include", "template", "namespace"}),
    "c": frozenset({"#", "#include", "#define", "#ifdef", "#ifndef"}),
    "ruby": frozenset({"end", "def"}),
}
_START = re.compile(r"\n[^\S\n]*(\w+|#\w*)")
_JSX = re.compile(r"^[^\S\n]*(?:return \(|<[A-Z]\w*|</?\w+>|<\w+ \w+=)", re.MULTILINE)
_SAMPLE_CHARS = 12_000
_MIN_SIGNS = 6
_MIN_SHARE = 0.05


def language_of_path(path: str) -> str:
    """The language that a file's name tells; empty if it tells none."""
    name = path.rstrip().rpartition("/")[2].rpartition("\\")[2]
    return SUFFIXES.get(name.rpartition(".")[2].lower(), "") if "." in name else ""


def language_of_text(text: str) -> str:
    """The language of source code; empty if the text is none of the known ones."""
    sample = text[:_SAMPLE_CHARS]
    shebang = _SHEBANG.match(sample)
    if shebang is not None:
        return _INTERPRETERS.get(shebang[1], "bash")
    if sample[:1] in "{[" or _NO_SOURCE.search(f"\n{sample[:4000]}"):
        return ""
    lines = sum(1 for line in sample.split("\n") if line and not line.isspace())
    lined = f"\n{sample}\n"
    starts = frozenset(_START.findall(lined))
    found = {
        name: len(pattern.findall(lined))
        for name, pattern in _SIGNS.items()
        if name not in _PROOF or _is_proven(name, lined, starts)
    }
    # These extend another language, whose signs they show as well.
    found["typescript"] = _sum(found, "typescript", "javascript")
    found["cpp"] = _sum(found, "cpp", "c")
    best = max(found, key=lambda name: found[name])
    if found[best] < max(_MIN_SIGNS, _MIN_SHARE * lines):
        return ""
    if best == "typescript" and _JSX.search(sample):
        return "tsx"
    return best


def _is_proven(name: str, lined: str, starts: frozenset[str]) -> bool:
    if name in _PROOF_STARTS and starts.isdisjoint(_PROOF_STARTS[name]):
        return False
    return _PROOF[name].search(lined) is not None


def _sum(found: dict[str, int], name: str, extended: str) -> int:
    own = found.get(name, 0)
    return own + found.get(extended, 0) if own else 0
