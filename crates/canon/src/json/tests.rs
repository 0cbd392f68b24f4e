use super::*;

fn canonical(input: &str) -> String {
    String::from_utf8(canonicalize(input.as_bytes(), &Limits::default()).unwrap().into_owned()).unwrap()
}

fn error(input: impl AsRef<[u8]>) -> String {
    canonicalize(input.as_ref(), &Limits::default()).unwrap_err().to_string()
}

#[test]
fn members_are_sorted_and_literals_stay_as_written() {
    let cases = [
        (r#" { "b" : 1.0 , "a" : 1e3 } "#, r#"{"a":1e3,"b":1.0}"#),
        (r#"{"z":{"y":[{"b":1,"a":2}],"x":-0},"a":null}"#, r#"{"a":null,"z":{"x":-0,"y":[{"a":2,"b":1}]}}"#),
        ("[12345678901234567890,7.50,1E+5,-0.0e-0]", "[12345678901234567890,7.50,1E+5,-0.0e-0]"),
        (r#"{"a":"\u00e9\/é\ud800"}"#, r#"{"a":"\u00e9\/é\ud800"}"#),
        ("\t\"x\"\r\n", "\"x\""),
        ("{ }", "{}"),
        ("[ ]", "[]"),
        ("{\"\":1,\" \":2}", "{\"\":1,\" \":2}"),
        (r#"{"a":{},"A":[],"aa":[[],{}]}"#, r#"{"A":[],"a":{},"aa":[[],{}]}"#),
        (
            r#"[{"b":1,"a":1},2,{"d":{"f":1,"e":1},"c":1},[{"h":1,"g":1}]]"#,
            r#"[{"a":1,"b":1},2,{"c":1,"d":{"e":1,"f":1}},[{"g":1,"h":1}]]"#,
        ),
        ("true", "true"),
        ("-0", "-0"),
    ];
    for (input, expected) in cases {
        assert_eq!(canonical(input), expected);
    }
}

#[test]
fn names_sort_by_code_points_of_their_decoded_form() {
    // U+FB33 is below U+1F600 by code point and above it by UTF-16 unit.
    assert_eq!(canonical("{\"😀\":1,\"\u{fb33}\":2}"), "{\"\u{fb33}\":2,\"😀\":1}");
    // An escaped name sorts where its decoded form belongs and stays escaped.
    assert_eq!(canonical(r#"{"b":1,"\u0061":2,"A":3}"#), r#"{"A":3,"\u0061":2,"b":1}"#);
    assert_eq!(canonical(r#"{"\ud83d\ude00":1,"\ufb33":2}"#), r#"{"\ufb33":2,"\ud83d\ude00":1}"#);
    // A lone surrogate sorts by its code point, between U+D7FF and U+E000.
    let lone = "{\"\u{e000}\":1,\"\\udc00\":2,\"\u{d7ff}\":3}";
    assert_eq!(canonical(lone), "{\"\u{d7ff}\":3,\"\\udc00\":2,\"\u{e000}\":1}");
    // A zero character is more than nothing, though the eight-byte prefixes are equal.
    assert_eq!(canonical(r#"{"a\u0000":1,"a":2}"#), r#"{"a":2,"a\u0000":1}"#);
    // Equal in the first eight bytes.
    assert_eq!(
        canonical(r#"{"12345678b":1,"12345678":2,"12345678a":3}"#),
        r#"{"12345678":2,"12345678a":3,"12345678b":1}"#
    );
}

#[test]
fn canonical_text_is_borrowed_even_with_white_space_around() {
    let borrowed = canonicalize(b" {\"a\":[1,{\"b\":2}]}\r\n", &Limits::default()).unwrap();
    assert!(matches!(borrowed, Cow::Borrowed(b"{\"a\":[1,{\"b\":2}]}")));
}

#[test]
fn appending_keeps_what_is_there_and_a_refused_document_adds_nothing() {
    let mut out = b"before".to_vec();
    let mut canonicalizer = Canonicalizer::new(Limits::default());
    for (input, expected) in [("{\"b\":1,\"a\":2}", "before{\"a\":2,\"b\":1}"), ("[1 ]", "before{\"a\":2,\"b\":1}[1]")]
    {
        canonicalizer.canonicalize_into(input.as_bytes(), &mut out).unwrap();
        assert_eq!(out, expected.as_bytes());
    }
    let before = out.clone();
    assert!(canonicalizer.canonicalize_into(b"{\"b\":1,\"a\":2", &mut out).is_err());
    assert!(canonicalize_into(b"{\"b\":1,\"a\":tru}", &Limits::default(), &mut out).is_err());
    assert_eq!(out, before);
}

#[test]
fn duplicate_keys_are_refused_by_name_and_place() {
    let cases = [
        (r#"{"id":1,"id":2}"#, "duplicate key `id` at $ (byte 8)"),
        (r#"{"affected":[0,{},[],{"id":1,"z":2,"id":3}]}"#, "duplicate key `id` at $.affected[3] (byte 35)"),
        (r#"{"b":0,"id":1,"a":2,"id":3,"b":3}"#, "duplicate key `id` at $ (byte 20)"),
        (r#"{"a":0,"\u0061":1}"#, "duplicate key `a` at $ (byte 7)"),
        (r#"{"a b":{"x":[{"a\nb":0,"c":1,"a\u000ab":1}]}}"#, "duplicate key `a\\nb` at $[\"a b\"].x[0] (byte 29)"),
        (r#"{"😀":0,"\ud83d\ude00":1}"#, "duplicate key `😀` at $ (byte 10)"),
        (r#"{"\ud800":0,"\uD800":1}"#, "duplicate key `\u{fffd}\u{fffd}\u{fffd}` at $ (byte 12)"),
        ("  {\n \"id\" : 1,\n \"id\" : 2 }", "duplicate key `id` at $ (byte 16)"),
    ];
    for (input, expected) in cases {
        assert_eq!(error(input), expected, "{input}");
    }
}

#[test]
fn faults_are_named_with_their_place() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "empty input where a JSON document is expected"),
        (b" \n", "empty input where a JSON document is expected"),
        (b"\xef\xbb\xbf{}", "document starts with a byte order mark; remove the first three bytes"),
        (b"{\"a\":\"\xff\"}", "invalid UTF-8 at byte 6"),
        (b"\"\xed\xa0\x80\"", "invalid UTF-8 at byte 1"),
        (b"{", "document ends early: a member name in double quotes expected at $ (byte 1)"),
        (b"{\"a\"", "document ends early: `:` expected at $.a (byte 4)"),
        (b"{\"a\":", "document ends early: a value expected at $.a (byte 5)"),
        (b"{\"a\":[1,", "document ends early: a value expected at $.a[1] (byte 8)"),
        (b"{\"a\":[1", "document ends early: `,` or `]` expected at $.a[0] (byte 7)"),
        (b"{\"a\":1", "document ends early: `,` or `}` expected at $.a (byte 6)"),
        (b"{\"a\":\"x", "document ends early: the closing quote of a string expected at $.a (byte 7)"),
        (b"{\"a\":1,}", "unexpected `}` where a member name in double quotes is expected at $ (byte 7)"),
        (b"{a:1}", "unexpected `a` where a member name in double quotes is expected at $ (byte 1)"),
        (b"{\"a\" 1}", "unexpected `1` where `:` is expected at $.a (byte 5)"),
        (b"[1,]", "unexpected `]` where a value is expected at $[1] (byte 3)"),
        (b"[1 2]", "unexpected `2` where `,` or `]` is expected at $[0] (byte 3)"),
        (b"[1}", "unexpected `}` where `,` or `]` is expected at $[0] (byte 2)"),
        (b"{\"a\":1]", "unexpected `]` where `,` or `}` is expected at $.a (byte 6)"),
        ("[é]".as_bytes(), "unexpected `é` where a value is expected at $[0] (byte 1)"),
        (b"['a']", "unexpected `\\'` where a value is expected at $[0] (byte 1)"),
        (b"[1\x0c]", "unexpected `\\u{c}` where `,` or `]` is expected at $[0] (byte 2)"),
        (b"[/**/1]", "unexpected `/` where a value is expected at $[0] (byte 1)"),
        (b"[tru]", "invalid literal `tru` at $[0] (byte 1); only `true`, `false` and `null` are words of JSON"),
        (b"[nullx]", "invalid literal `nullx` at $[0] (byte 1); only `true`, `false` and `null` are words of JSON"),
        (b"NaN", "invalid literal `NaN` at $ (byte 0); only `true`, `false` and `null` are words of JSON"),
        (b"[True]", "invalid literal `True` at $[0] (byte 1); only `true`, `false` and `null` are words of JSON"),
        (b"[-]", "invalid number at $[0] (byte 2): a digit must follow the minus sign"),
        (b"-Infinity", "invalid number at $ (byte 1): a digit must follow the minus sign"),
        (b"[01]", "invalid number at $[0] (byte 1): leading zeros are not allowed"),
        (b"[-00]", "invalid number at $[0] (byte 2): leading zeros are not allowed"),
        (b"[1.]", "invalid number at $[0] (byte 3): a digit must follow the decimal point"),
        (b"[1e]", "invalid number at $[0] (byte 3): a digit must follow the exponent sign"),
        (b"[1e+]", "invalid number at $[0] (byte 4): a digit must follow the exponent sign"),
        (b"[0x1]", "invalid number at $[0] (byte 2): the number does not end where it should"),
        (b"[1.2.3]", "invalid number at $[0] (byte 4): the number does not end where it should"),
        (b"[+1]", "unexpected `+` where a value is expected at $[0] (byte 1)"),
        (b"[.5]", "unexpected `.` where a value is expected at $[0] (byte 1)"),
        (b"[\"\\x\"]", "invalid escape in a string at $[0] (byte 2)"),
        (b"[\"ab\\u12g4\"]", "invalid escape in a string at $[0] (byte 4)"),
        (b"{\"a\":{\"\\x\":1}}", "invalid escape in a string at $.a (byte 7)"),
        (b"[\"a\nb\"]", "control character U+000A must be escaped in a string at $[0] (byte 3)"),
        (b"{} {}", "trailing `{` after the document (byte 3)"),
        (b"1]", "trailing `]` after the document (byte 1)"),
        (b"{}\0", "trailing `\\0` after the document (byte 2)"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "invalid literal `version` at $ (byte 0); only `true`, `false` and `null` are words of JSON",
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(error(input), *expected, "{}", String::from_utf8_lossy(input));
    }
}

#[test]
fn limits_are_exact() {
    let limits = Limits { max_bytes: 6, max_depth: 2 };
    assert!(canonicalize(b"[[12]]", &limits).is_ok());
    let too_large = canonicalize(b"[[123]]", &limits).unwrap_err().to_string();
    assert_eq!(too_large, "document of 7 bytes is larger than the limit of 6 bytes");
    let too_deep = canonicalize(b"[{\"", &Limits { max_depth: 1, ..limits }).unwrap_err().to_string();
    assert_eq!(too_deep, "nesting is deeper than the limit of 1 levels (byte 1)");
    assert!(canonicalize(b"1", &Limits { max_depth: 0, ..limits }).is_ok());
}

/// `{"b":{"b":…,"a":0},"a":0}`: out of order on every level.
fn deep(levels: usize) -> String {
    format!("{}0{}", "{\"b\":".repeat(levels), ",\"a\":0}".repeat(levels))
}

#[test]
fn deep_documents_are_refused_by_default_and_need_no_stack() {
    let levels = 100_000;
    assert_eq!(error(deep(levels)), "nesting is deeper than the limit of 4096 levels (byte 20480)");
    let limits = Limits { max_depth: levels, ..Limits::default() };
    let sorted = format!("{}0{}", "{\"a\":0,\"b\":".repeat(levels), "}".repeat(levels));
    assert!(*canonicalize(deep(levels).as_bytes(), &limits).unwrap() == *sorted.as_bytes());
    let arrays = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(matches!(canonicalize(arrays.as_bytes(), &limits), Ok(Cow::Borrowed(_))));
    let cut = canonicalize("[".repeat(levels).as_bytes(), &limits).unwrap_err().to_string();
    assert!(cut.len() < 300, "paths are shortened: {cut}");
}

#[test]
fn work_is_linear_when_every_level_is_out_of_order_around_a_large_text() {
    let text = format!("\"{}\"", "x".repeat(18 << 20));
    let input = deep(4096).replacen('0', &text, 1);
    let output = canonical(&input);
    assert_eq!(output.len(), input.len());
    assert!(output.ends_with(&format!("{text}{}", "}".repeat(4096))));
}

#[test]
fn wide_documents_are_sorted() {
    let members = |numbers: Vec<u32>| {
        numbers.iter().map(|n| format!("\"key {n:07}\":{{\"z\":{n},\"a\":0}}")).collect::<Vec<_>>().join(",")
    };
    let input = format!("{{{}}}", members((0..200_000).rev().collect()));
    let expected = format!("{{{}}}", members((0..200_000).collect())).replace("\"z\":", "\"Z\":");
    let output = canonical(&input.replace("\"z\":", "\"Z\":"));
    assert!(output == expected, "upper case Z sorts before a, so the inner objects are in order");
    let inner = canonical(&input);
    assert!(inner.starts_with("{\"key 0000000\":{\"a\":0,\"z\":0},\"key 0000001\":{\"a\":0,\"z\":1},"));
}

#[test]
fn long_names_are_shortened_in_messages() {
    let name = "n".repeat(1 << 20);
    let message = error(format!("{{\"{name}\":{{\"{name}\":1,\"{name}\":2}}}}"));
    assert!(message.contains("nnn…") && message.len() < 600, "{}", message.len());
}
