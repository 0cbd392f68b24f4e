//! Laws of canonical JSON, on random documents.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use export_canon::CanonError;
use export_canon::json::{Limits, canonicalize, canonicalize_into};
use proptest::prelude::*;
use serde_json::value::RawValue;

/// A document as text pieces, so that every literal is known.
#[derive(Clone, Debug)]
enum Tree {
    Scalar(String),
    Array(Vec<Tree>),
    /// By decoded name: the name as written, and the value.
    Object(BTreeMap<Vec<u32>, (String, Tree)>),
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,10})?([eE][+-]?[0-9]{1,3})?",
        1 => Just("true".to_owned()),
        1 => Just("false".to_owned()),
        1 => Just("null".to_owned()),
        4 => pieces(6).prop_map(|pieces| quote(&pieces)),
    ]
}

/// A piece of a string: as written, and the code points (or surrogates) it stands for.
type Piece = (&'static str, &'static [u32]);

const PIECES: &[Piece] = &[
    ("a", &[0x61]),
    ("b", &[0x62]),
    ("\\u0061", &[0x61]),
    ("A", &[0x41]),
    ("/", &[0x2f]),
    ("\\/", &[0x2f]),
    ("\\\\", &[0x5c]),
    ("\\\"", &[0x22]),
    ("\\n", &[0x0a]),
    ("\\u0000", &[0]),
    (" ", &[0x20]),
    ("{,:}[]", &[0x7b, 0x2c, 0x3a, 0x7d, 0x5b, 0x5d]),
    ("é", &[0xe9]),
    ("\\u00E9", &[0xe9]),
    ("€", &[0x20ac]),
    ("\u{fb33}", &[0xfb33]),
    ("😀", &[0x1f600]),
    ("\\ud83d\\ude00", &[0x1f600]),
    ("\\ud83d", &[0xd83d]),
    ("\\uDE00", &[0xde00]),
    ("database_", &[0x64, 0x61, 0x74, 0x61, 0x62, 0x61, 0x73, 0x65, 0x5f]),
];

fn pieces(most: usize) -> impl Strategy<Value = Vec<Piece>> + Clone {
    prop::collection::vec(prop::sample::select(PIECES), 0..most)
}

fn quote(pieces: &[Piece]) -> String {
    format!("\"{}\"", pieces.iter().map(|(written, _)| *written).collect::<String>())
}

/// Code points of a name; an escaped high surrogate and the escaped low one after it are one character.
fn decoded(pieces: &[Piece]) -> Vec<u32> {
    let mut codes: Vec<u32> = Vec::new();
    for &code in pieces.iter().flat_map(|(_, codes)| *codes) {
        match codes.last().copied() {
            Some(high @ 0xd800..0xdc00) if (0xdc00..0xe000).contains(&code) => {
                codes.pop();
                codes.push(0x1_0000 + ((high - 0xd800) << 10) + (code - 0xdc00));
            }
            _ => codes.push(code),
        }
    }
    codes
}

fn tree() -> impl Strategy<Value = Tree> {
    let name = pieces(5);
    scalar().prop_map(Tree::Scalar).prop_recursive(5, 80, 8, move |inner| {
        let member = (name.clone(), inner.clone());
        prop_oneof![
            1 => prop::collection::vec(inner, 0..6).prop_map(Tree::Array),
            3 => prop::collection::vec(member, 0..8).prop_map(|members| {
                Tree::Object(members.into_iter().map(|(name, value)| (decoded(&name), (quote(&name), value))).collect())
            }),
        ]
    })
}

/// Writes with members in a random order and random white space, both ruled by `seed`; `None` writes the canonical form.
fn write(tree: &Tree, seed: &mut Option<u64>, out: &mut String) {
    space(seed, out);
    match tree {
        Tree::Scalar(text) => out.push_str(text),
        Tree::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write(element, seed, out);
            }
            space(seed, out);
            out.push(']');
        }
        Tree::Object(members) => {
            let mut members: Vec<_> = members.values().collect();
            if seed.is_some() {
                members.sort_by_cached_key(|_| next(seed));
            }
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                space(seed, out);
                out.push_str(name);
                space(seed, out);
                out.push(':');
                write(value, seed, out);
            }
            space(seed, out);
            out.push('}');
        }
    }
    space(seed, out);
}

fn next(seed: &mut Option<u64>) -> u64 {
    seed.as_mut().map_or(0, |seed| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    })
}

fn space(seed: &mut Option<u64>, out: &mut String) {
    if seed.is_some() {
        out.push_str(["", "", "", "", " ", "\n            ", "\r\n", "\t \t"][(next(seed) % 8) as usize]);
    }
}

fn render(tree: &Tree, mut seed: Option<u64>) -> String {
    let mut out = String::new();
    write(tree, &mut seed, &mut out);
    out
}

/// The same form by another way: `serde_json` cuts the text into raw values. It writes names anew, so it is of use only for
/// names that are written as it writes them.
fn by_raw_values(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('{') {
        let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
        let members = members
            .iter()
            .map(|(name, value)| format!("{}:{}", serde_json::to_string(name).unwrap(), by_raw_values(value.get())));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    } else if text.starts_with('[') {
        let elements: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
        format!("[{}]", elements.iter().map(|value| by_raw_values(value.get())).collect::<Vec<_>>().join(","))
    } else {
        text.to_owned()
    }
}

fn canonical(text: &str) -> String {
    String::from_utf8(canonicalize(text.as_bytes(), &Limits::default()).unwrap().into_owned()).unwrap()
}

/// Names as `serde_json` writes them.
fn plain_names(tree: Tree) -> Tree {
    match tree {
        Tree::Scalar(text) => Tree::Scalar(text),
        Tree::Array(elements) => Tree::Array(elements.into_iter().map(plain_names).collect()),
        Tree::Object(members) => {
            let members = members.into_iter().map(|(codes, (_, value))| {
                let name: String = codes.iter().map(|code| char::from_u32(*code).unwrap_or('?')).collect();
                (name.chars().map(u32::from).collect(), (serde_json::to_string(&name).unwrap(), plain_names(value)))
            });
            Tree::Object(members.collect())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn order_and_white_space_do_not_matter_and_literals_stay(tree in tree(), seed: u64) {
        let expected = render(&tree, None);
        prop_assert_eq!(canonical(&render(&tree, Some(seed))), expected.as_str());
        let mut out = b"x".to_vec();
        canonicalize_into(render(&tree, Some(!seed)).as_bytes(), &Limits::default(), &mut out).unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap(), format!("x{expected}"));
    }

    #[test]
    fn canonical_text_stays_as_it_is(tree in tree(), seed: u64) {
        let once = canonical(&render(&tree, Some(seed)));
        prop_assert!(matches!(canonicalize(once.as_bytes(), &Limits::default()), Ok(Cow::Borrowed(same)) if same == once.as_bytes()));
    }

    #[test]
    fn form_is_that_of_serde_json_raw_values(tree in tree().prop_map(plain_names), seed: u64) {
        let text = render(&tree, Some(seed));
        prop_assert_eq!(canonical(&text), by_raw_values(&text));
    }

    #[test]
    fn a_second_member_of_the_same_name_is_refused(tree in tree(), seed: u64, pick: prop::sample::Index) {
        let Tree::Object(members) = &tree else { return Ok(()) };
        if members.is_empty() {
            return Ok(());
        }
        let names: Vec<&String> = members.values().map(|(name, _)| name).collect();
        let name = pick.get(&names);
        let text = render(&tree, Some(seed));
        let doubled = format!("{},{name}:0}}", text.trim_end().strip_suffix('}').unwrap());
        let result = canonicalize(doubled.as_bytes(), &Limits::default());
        let is_duplicate = matches!(result, Err(CanonError::DuplicateKey { ref path, .. }) if path == "$");
        prop_assert!(is_duplicate);
    }

    #[test]
    fn damaged_text_is_refused_exactly_when_serde_json_refuses_it(
        tree in tree(), seed: u64, at: prop::sample::Index,
        change in prop::sample::select(&["", "\"", "\\", ",", ":", "{", "}", "[", "]", "0", "-", ".", "e", "t", " ", "\n", "\u{1}", "u", "é"][..]),
        insert: bool,
    ) {
        let text = render(&tree, Some(seed));
        let places: Vec<(usize, char)> = text.char_indices().collect();
        let (start, old) = *at.get(&places);
        let end = if insert { start } else { start + old.len_utf8() };
        let damaged = [text.get(..start).unwrap(), change, text.get(end..).unwrap()].concat();
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&damaged);
        match canonicalize(damaged.as_bytes(), &Limits::default()) {
            Ok(_) => prop_assert!(theirs.is_ok(), "{}", damaged),
            // Doubled names are none of its business, and damage may follow them.
            Err(CanonError::DuplicateKey { .. }) => {}
            Err(error) => prop_assert!(theirs.is_err(), "{}: {}", damaged, error),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let ours = canonicalize(&bytes, &Limits::default()).is_ok();
        prop_assert!(!ours || serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
    }
}
