//! The layers of the crate: a file imports only from what stands before it in [`LAYERS`], and in a
//! folder only from what its `mod.rs` declares before it.
//!
//! What counts as an import is every path in code that starts with `crate`, `super` or `self`.
//! A parent's re-export counts as the parent: siblings are imported by their own file. (rustfmt
//! sorts `mod` lines that touch; an empty line between them keeps their order.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, iter};

/// The files and folders of `src`, from low to high.
const LAYERS: [&str; 30] = [
    "error",
    "redirect",
    "retry",
    "credentials",
    "cookies",
    "cookie_jar",
    "config",
    "observe",
    "url",
    "body",
    "decode",
    "connect",
    "pool",
    "response",
    "middleware",
    "pipeline",
    "request",
    "session",
    "builder",
    "request_defaults",
    "redirect_options",
    "cookie_options",
    "credentials_provider",
    "http1_options",
    "http2_options",
    "slot",
    "scope",
    "holder",
    "container",
    "counterparts",
];

#[test]
fn no_file_of_the_crate_imports_from_a_layer_above_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Sources::new();
    for file in rust_files(&root) {
        let path = file.strip_prefix(&root).expect("it was found there");
        let segments = path.iter().map(|segment| segment.to_string_lossy());
        let source = fs::read_to_string(&file).expect("a source file can be read");
        sources.insert(segments.collect::<Vec<_>>().join("/"), source);
    }
    assert!(sources.contains_key("lib.rs"), "no sources were found");
    let violations = check(&sources);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a source folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry can be read").path());
    let files = paths.flat_map(|path| {
        if path.is_dir() {
            rust_files(&path)
        } else {
            vec![path]
        }
    });
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The text of each file, by its path in `src`.
type Sources = BTreeMap<String, String>;

/// The module of a file, e.g. `["pool", "checkout"]`; of `lib.rs`, the empty one.
type Module = Vec<String>;

/// The children of each module that has some, from low to high.
type Ranks = BTreeMap<Module, Vec<Child>>;

/// A child of a module, and its file: the same name, or that of `#[path = "file.rs"]`.
struct Child {
    name: String,
    file: String,
}

fn check(sources: &Sources) -> Vec<String> {
    let mut files = Vec::new();
    let mut ranks = Ranks::new();
    for (path, source) in sources {
        let (module, tokens) = (module_of(path), tokenize(source));
        ranks.insert(module.clone(), declared_children(&tokens));
        files.push((path, module, tokens));
    }
    ranks.insert(Module::new(), LAYERS.map(Child::new).into());
    for (_, module, _) in &mut files {
        let child = module.split_last().and_then(|(file, folder)| {
            let mut children = ranks.get(folder)?.iter();
            children.find(|child| child.file == *file)
        });
        if let (Some(child), Some(name)) = (child, module.last_mut()) {
            name.clone_from(&child.name);
        }
    }
    let violations = files.iter().flat_map(|(path, module, tokens)| {
        let violations = check_file(&ranks, module, tokens).into_iter();
        violations.map(move |(line, what)| format!("src/{path}:{line}: {what}"))
    });
    violations.collect()
}

/// The violations in one file, each with its line.
fn check_file(ranks: &Ranks, module: &Module, tokens: &[Token]) -> Vec<(usize, String)> {
    let mut violations = Vec::new();
    for pair in tokens.windows(2) {
        if pair[0].text == "macro_rules" && pair[1].text == "!" {
            violations.push((pair[0].line, "macro_rules! in src".to_owned()));
        }
    }
    let Some((name, folder)) = module.split_last() else {
        let line = first_item_beside_a_table_of_contents(tokens);
        let what = "lib.rs has only docs, `mod` and `pub use`".to_owned();
        violations.extend(line.map(|line| (line, what)));
        return violations;
    };
    if rank(ranks, folder, name).is_none() {
        violations.push((1, "this file has no rank".to_owned()));
        return violations;
    }
    for Import { line, path } in imports(module, tokens) {
        let steps = path.iter().enumerate();
        let modules = steps.take_while(|(at, name)| rank(ranks, &path[..*at], name).is_some());
        if let Err(reason) = allows(ranks, module, &path[..modules.count()]) {
            violations.push((line, format!("crate::{}: {reason}", path.join("::"))));
        }
    }
    violations
}

fn module_of(path: &str) -> Module {
    let mut module: Module = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    module.pop_if(|name| name == "mod" || name == "lib");
    module
}

/// Whether `module` may import from `target`.
fn allows(ranks: &Ranks, module: &[String], target: &[String]) -> Result<(), String> {
    let shared = iter::zip(module, target)
        .take_while(|(a, b)| a == b)
        .count();
    match (module.get(shared), target.get(shared)) {
        (None, _) => Ok(()), // itself, or its own child
        (Some(_), None) if target.is_empty() => {
            Err("import it by its own file, not through the crate's root".to_owned())
        }
        (Some(_), None) => {
            Err("import siblings by their own file, not through the parent".to_owned())
        }
        (Some(name), Some(other)) => {
            let rank = |name| rank(ranks, &module[..shared], name);
            if rank(other).is_some() && rank(other) < rank(name) {
                Ok(())
            } else {
                Err(format!("`{other}` does not stand below `{name}`"))
            }
        }
    }
}

fn rank(ranks: &Ranks, folder: &[String], name: &str) -> Option<usize> {
    let mut children = ranks.get(folder)?.iter();
    children.position(|child| child.name == name)
}

impl Child {
    fn new(name: &str) -> Self {
        let (name, file) = (name.to_owned(), name.to_owned());
        Self { name, file }
    }
}

/// What a file declares by `mod name;`, in its order.
fn declared_children(tokens: &[Token]) -> Vec<Child> {
    let (mut children, mut path) = (Vec::new(), None);
    for window in tokens.windows(3) {
        match [0, 1, 2].map(|at| window[at].text.as_str()) {
            ["path", "=", file] => path = file.trim_matches('"').strip_suffix(".rs"),
            ["mod", name, ";"] => children.push(Child {
                name: name.to_owned(),
                file: path.take().unwrap_or(name).to_owned(),
            }),
            _ => {}
        }
    }
    children
}

/// The line of the first item that is no `mod name;`, public or not, `mod name {}` or `pub use …;`.
fn first_item_beside_a_table_of_contents(tokens: &[Token]) -> Option<usize> {
    let mut tokens = tokens.iter().peekable();
    while let Some(first) = tokens.next() {
        match first.text.as_str() {
            "#" => {
                tokens.next_if(|token| token.text == "!");
                let mut depth = 0;
                for token in tokens.by_ref() {
                    match token.text.as_str() {
                        "[" => depth += 1,
                        "]" => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            "mod" => {
                tokens.next(); // its name
                match tokens.next().map(|token| token.text.as_str()) {
                    Some(";") => {}
                    Some("{") if tokens.next_if(|token| token.text == "}").is_some() => {}
                    _ => return Some(first.line),
                }
            }
            "pub" if tokens.next_if(|token| token.text == "use").is_some() => {
                tokens.by_ref().find(|token| token.text == ";");
            }
            "pub" if tokens.peek().is_some_and(|token| token.text == "mod") => {}
            _ => return Some(first.line),
        }
    }
    None
}

/// A path, made absolute: without its `crate`.
#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    path: Module,
}

/// Every path into the crate in the code of a file that is the module `file`, its test modules
/// left out.
fn imports(file: &Module, tokens: &[Token]) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut module = file.clone(); // grows in inline modules
    let mut opened_at = Vec::new(); // the depths at which they were opened
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = end_of_test_module(tokens, at) {
            at = end;
            continue;
        }
        let text = |offset: usize| tokens.get(at + offset).map_or("", |token| &token.text);
        match text(0) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if opened_at.pop_if(|opened| *opened == depth).is_some() {
                    module.pop();
                }
            }
            "mod" if text(2) == "{" => {
                module.push(text(1).to_owned());
                opened_at.push(depth);
            }
            "crate" | "super" | "self" if text(1) == "::" && !continues_a_path(tokens, at) => {
                let mut found = Vec::new();
                at = read_path(tokens, at, &Module::new(), &mut found);
                imports.extend(found.into_iter().map(|(line, path)| Import {
                    line,
                    path: absolute(&module, &path),
                }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    imports
}

/// Whether the token at `at` is no start of a path, or that of a visibility: `pub(in crate::…)`.
fn continues_a_path(tokens: &[Token], at: usize) -> bool {
    let before = |offset: usize| at.checked_sub(offset).map_or("", |at| &tokens[at].text);
    before(1) == "::" || (before(1) == "in" && before(2) == "(" && before(3) == "pub")
}

/// Reads a path, or in a `use` a tree of them, and gives the index after it.
fn read_path(
    tokens: &[Token],
    mut at: usize,
    prefix: &Module,
    found: &mut Vec<(usize, Module)>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| &token.text);
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut path = prefix.clone();
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = read_path(tokens, at, &path, found);
                }
                return at + 1;
            }
            "*" => at += 1,
            name if is_name(name) => {
                path.push(name.to_owned());
                at += 1;
                if text(at) == "::" {
                    at += 1;
                    continue;
                }
            }
            // `::<…>`, a comma in a tree, or what is no path after all
            _ if prefix.is_empty() => {}
            _ => return at + 1,
        }
        break;
    }
    found.push((line, path));
    if !prefix.is_empty() {
        // in a tree: `as name`, and the comma
        if text(at) == "as" {
            at += 2;
        }
        if text(at) == "," {
            at += 1;
        }
    }
    at
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The path without `crate`, `self` and `super`, as seen from `module`.
fn absolute(module: &Module, path: &[String]) -> Module {
    let mut absolute = module.clone();
    for name in path {
        match name.as_str() {
            "crate" => absolute.clear(),
            "self" => {}
            "super" => drop(absolute.pop()),
            _ => absolute.push(name.clone()),
        }
    }
    absolute
}

/// If `#[cfg(test)] mod name { … }` starts at `at`, the index after it.
fn end_of_test_module(tokens: &[Token], mut at: usize) -> Option<usize> {
    let text = |at: usize| tokens.get(at).map_or("", |token| &token.text);
    let mut is_test = false;
    while text(at) == "#" && text(at + 1) == "[" {
        let attribute = &tokens[at..closing(tokens, at + 1)];
        let texts: Vec<_> = attribute.iter().map(|token| token.text.as_str()).collect();
        is_test |= matches!(
            texts[..],
            ["#", "[", "cfg", "(", "test", ")", "]"]
                | ["#", "[", "cfg", "(", "all", "(", "test", ",", ..]
        );
        at += attribute.len();
    }
    if text(at) == "pub" {
        at += 1;
        if text(at) == "(" {
            at = closing(tokens, at);
        }
    }
    (is_test && text(at) == "mod" && text(at + 2) == "{").then(|| closing(tokens, at + 2))
}

/// The index after the bracket that closes the one at `at`.
fn closing(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// A name, `::`, a string in its quotes, or one other character. Comments leave no token.
struct Token {
    line: usize,
    text: String,
}

fn tokenize(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let rest = &chars[at..];
        let (length, is_token) = match rest {
            ['/', '/', ..] => (length_until(rest, |rest| rest[0] == '\n'), false),
            ['/', '*', ..] => (block_comment(rest), false),
            ['r', '#', c, ..] if is_name(&c.to_string()) => (2, false), // a raw name
            ['"', ..] => (quoted(rest), true),
            ['\'', ..] => (character_or_lifetime(rest), false),
            ['b' | 'c', '"', ..] => (1 + quoted(&rest[1..]), false),
            ['b', '\'', ..] => (1 + character_or_lifetime(&rest[1..]), false),
            ['r', '"' | '#', ..] => (raw_string(rest, 1), false),
            ['b' | 'c', 'r', '"' | '#', ..] => (raw_string(rest, 2), false),
            [':', ':', ..] => (2, true),
            [c, ..] if c.is_alphanumeric() || *c == '_' => (
                length_until(rest, |rest| !rest[0].is_alphanumeric() && rest[0] != '_'),
                true,
            ),
            [c, ..] => (1, !c.is_whitespace()),
            [] => break,
        };
        let text = &rest[..length];
        if is_token {
            tokens.push(Token {
                line,
                text: text.iter().collect(),
            });
        }
        line += text.iter().filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn length_until(text: &[char], end: impl Fn(&[char]) -> bool) -> usize {
    let mut length = 0;
    while length < text.len() && !end(&text[length..]) {
        length += 1;
    }
    length
}

fn block_comment(text: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        match text[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a literal with its quotes and escapes.
fn quoted(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != text[0] {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    text.len().min(at + 1)
}

fn character_or_lifetime(text: &[char]) -> usize {
    match text {
        [_, '\\', ..] | [_, _, '\'', ..] => quoted(text),
        _ => 1, // the lifetime's name is a token like others
    }
}

fn raw_string(text: &[char], prefix: usize) -> usize {
    let hashes = length_until(&text[prefix..], |rest| rest[0] != '#');
    let start = text.len().min(prefix + hashes + 1);
    let is_end = |rest: &[char]| {
        rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#')
    };
    let content = length_until(&text[start..], is_end);
    text.len().min(start + content + 1 + hashes)
}

/// What [`check`] finds in a crate of these files.
fn check_planted(files: &[(&str, &str)]) -> Vec<String> {
    let files = files
        .iter()
        .map(|(path, source)| ((*path).to_owned(), (*source).to_owned()));
    check(&files.collect())
}

/// The imports of `source` as file `pool/checkout.rs`, e.g. `2: pool::http1`.
fn imports_of(source: &str) -> Vec<String> {
    let file = ["pool".to_owned(), "checkout".to_owned()].to_vec();
    imports(&file, &tokenize(source))
        .iter()
        .map(|import| format!("{}: {}", import.line, import.path.join("::")))
        .collect()
}

#[test]
fn an_upward_import_is_found_with_its_file_line_and_path() {
    let found = check_planted(&[
        (
            "error.rs",
            "use std::fmt;\n\nuse crate::session::Session;\n",
        ),
        ("session.rs", "use crate::error::Error;"),
    ]);
    assert_eq!(
        found,
        ["src/error.rs:3: crate::session::Session: `session` does not stand below `error`"]
    );
}

#[test]
fn an_upward_path_amid_code_is_found() {
    let found = check_planted(&[
        (
            "error.rs",
            "fn f() -> usize {\n    crate::session::count::<u8>()\n}",
        ),
        ("session.rs", ""),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("src/error.rs:2: crate::session::count"));
}

#[test]
fn a_file_of_a_folder_imports_what_is_declared_before_it() {
    let files = |http1, checkout| {
        check_planted(&[
            (
                "pool/mod.rs",
                "mod http1;\n\nmod checkout;\npub(crate) use checkout::Pool;",
            ),
            ("pool/http1.rs", http1),
            ("pool/checkout.rs", checkout),
            ("session.rs", "use crate::pool::{Pool, http1::Lease};"),
        ])
    };
    assert_eq!(
        files("", "use super::http1::A; use crate::pool::http1;"),
        [""; 0]
    );
    assert_eq!(files("use super::checkout::B;", "").len(), 1);
    assert_eq!(files("use crate::pool::checkout;", "").len(), 1);
}

#[test]
fn a_file_has_the_rank_of_the_module_that_names_its_path() {
    let declare = "#[cfg(unix)]\n#[path = \"a_unix.rs\"]\nmod a;\n#[cfg(windows)]\n\
                   #[path = \"a_windows.rs\"]\nmod a;\nmod b;";
    let found = check_planted(&[
        ("connect/mod.rs", declare),
        ("connect/a_unix.rs", ""),
        ("connect/a_windows.rs", "use crate::connect::b::B;"),
        ("connect/b.rs", "use crate::connect::a::A;"),
    ]);
    assert_eq!(
        found,
        ["src/connect/a_windows.rs:1: crate::connect::b::B: `b` does not stand below `a`"]
    );
}

#[test]
fn an_import_through_the_parent_or_the_root_is_found() {
    let found = check_planted(&[
        ("error.rs", ""),
        ("pool/mod.rs", "mod http1; mod checkout;"),
        ("pool/http1.rs", ""),
        (
            "pool/checkout.rs",
            "use crate::pool::Http1;\nuse super::Http1;\nuse super::*;\nuse crate::Error;",
        ),
    ]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found[..3]
            .iter()
            .all(|found| found.ends_with("not through the parent"))
    );
    assert!(found[3].ends_with("not through the crate's root"));
}

#[test]
fn the_entry_file_of_a_folder_imports_its_children_and_lower_layers() {
    let entry =
        "mod http1;\npub use self::http1::A;\nuse crate::pool::http1;\nuse crate::error::E;";
    let files = [
        ("error.rs", ""),
        ("pool/mod.rs", entry),
        ("pool/http1.rs", ""),
    ];
    assert_eq!(check_planted(&files), [""; 0]);
}

#[test]
fn a_file_without_a_rank_is_found() {
    let found = check_planted(&[
        ("misc.rs", ""),
        ("pool/mod.rs", "mod http1;"),
        ("pool/http1.rs", ""),
        ("pool/stray.rs", ""),
    ]);
    let expected = [
        "src/misc.rs:1: this file has no rank",
        "src/pool/stray.rs:1: this file has no rank",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_macro_is_found_also_in_tests() {
    let source = "#[cfg(test)]\nmod tests {\n    macro_rules! m { () => {} }\n}";
    assert_eq!(
        check_planted(&[("url.rs", source)]),
        ["src/url.rs:3: macro_rules! in src"]
    );
}

#[test]
fn the_root_has_nothing_but_docs_modules_and_exports() {
    let root = |items: &str| check_planted(&[("lib.rs", items)]);
    let contents = "//! Docs.\n#![cfg_attr(docsrs, feature(doc_cfg))]\n#[cfg(feature = \"x\")]\nmod a;\n\
                    /// Docs.\n#[doc(inline)]\npub use a::{B, c::D};\n#[cfg(doctest)]\nmod readme {}\n\
                    pub mod b;\n";
    assert_eq!(root(contents), [""; 0]);
    for item in [
        "use a::B;",
        "fn f() {}",
        "mod a { fn f() {} }",
        "pub mod a { fn f() {} }",
        "pub struct S;",
        "const N: u8 = 1;",
    ] {
        let found = root(&format!("mod a;\n{item}"));
        assert_eq!(
            found,
            ["src/lib.rs:2: lib.rs has only docs, `mod` and `pub use`"]
        );
    }
}

#[test]
fn trees_of_imports_are_read_to_their_leaves() {
    let source =
        "use crate::{\n    a::{self, B as C, d::{E, f::*}},\n    g,\n};\nuse {crate::h, std::i};";
    let expected = [
        "2: a",
        "2: a::B",
        "2: a::d::E",
        "2: a::d::f",
        "3: g",
        "5: h",
    ];
    assert_eq!(imports_of(source), expected);
}

#[test]
fn relative_paths_are_resolved() {
    let source = "use super::http1;\nuse super::super::url;\nuse self::own::Own;\nmod inner {\n    \
                  use super::super::limits;\n    use super::Own;\n}\nuse super::timer;";
    let expected = [
        "1: pool::http1",
        "2: url",
        "3: pool::checkout::own::Own",
        "5: pool::limits",
        "6: pool::checkout::Own",
        "8: pool::timer",
    ];
    assert_eq!(imports_of(source), expected);
}

#[test]
fn visibility_and_values_are_no_imports() {
    let source = "pub(crate) fn f(&self) { self.g(); }\npub(in crate::session) fn g() {}\npub(super) fn h() {}";
    assert_eq!(imports_of(source), [""; 0]);
}

#[test]
fn comments_and_literals_are_skipped() {
    let source = r##"
        // crate::a
        /// [`crate::b`]
        /* crate::c /* crate::d */ crate::e */
        const S: &str = "crate::f \" crate::g";
        const R: &str = r#"crate::h " crate::i"#;
        const B: &[u8] = br"\"; const C: &[u8] = b"crate::j";
        fn f<'a>(c: char, r#type: &'a str) -> bool { c == '"' || c == '\'' || c == b'"' as char }
        use crate::found;
    "##;
    assert_eq!(imports_of(source), ["9: found"]);
}

#[test]
fn test_modules_are_skipped_and_the_code_after_them_is_not() {
    let source = "#[cfg(test)]\n#[allow(x)]\npub(crate) mod tests {\n    use super::*;\n    fn f() { crate::a(); }\n}\n\
                  #[cfg(feature = \"test\")]\nmod x {\n    use crate::b;\n}\nuse crate::c;";
    assert_eq!(imports_of(source), ["9: b", "11: c"]);
}
