use std::str::FromStr as _;

use export_canon::json::Canonicalizer;
use export_mongo::bson::oid::ObjectId;
use export_mongo::bson::spec::BinarySubtype;
use export_mongo::bson::{Binary, Bson, DateTime, Decimal128, Document, RawDocumentBuf, Regex, Timestamp, doc};
use proptest::prelude::*;

use super::*;

const MAX_BYTES: u64 = 1 << 20;

fn text_of(document: &RawDocument) -> Result<String, NoText> {
    let mut out = Vec::new();
    write(document, MAX_BYTES, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn text(document: &Document) -> Result<String, NoText> {
    text_of(&RawDocumentBuf::from_document(document).unwrap())
}

/// The text of one value.
fn form(value: impl Into<Bson>) -> String {
    let text = text(&doc! { "v": value.into() }).unwrap();
    text.strip_prefix(r#"{"v":"#).unwrap().strip_suffix('}').unwrap().to_owned()
}

#[test]
fn numbers_have_one_form() {
    let cases: [(Bson, &str); 14] = [
        (Bson::Int32(-7), "-7"),
        (Bson::Int64((1 << 53) + 1), "9007199254740993"),
        (Bson::Int64(i64::MIN), "-9223372036854775808"),
        (Bson::Double(1.0), "1"),
        (Bson::Double(9.8), "9.8"),
        (Bson::Double(0.1 + 0.2), "0.30000000000000004"),
        (Bson::Double(-0.0), "0"),
        (Bson::Double(1e21), "1e+21"),
        (Bson::Double(123_456_789_012_345_680_000.0), "123456789012345680000"),
        (Bson::Double(f64::MIN_POSITIVE / 2.0), "1.1125369292536007e-308"),
        (Bson::Double(5e-324), "5e-324"),
        (Bson::Decimal128(Decimal128::from_str("1.50").unwrap()), "1.50"),
        (Bson::Decimal128(Decimal128::from_str("1E+3").unwrap()), "1E+3"),
        (Bson::Decimal128(Decimal128::from_str("-0.00000001").unwrap()), "-1E-8"),
    ];
    for (value, expected) in cases {
        assert_eq!(form(value.clone()), expected, "{value:?}");
    }
}

#[test]
fn dates_ids_texts_and_containers_have_one_form() {
    let date = |millis| Bson::DateTime(DateTime::from_millis(millis));
    assert_eq!(form(date(1_769_860_800_000)), r#""2026-01-31T12:00:00Z""#);
    assert_eq!(form(date(1_769_860_800_500)), r#""2026-01-31T12:00:00.5Z""#);
    assert_eq!(form(date(-1)), r#""1969-12-31T23:59:59.999Z""#);
    assert_eq!(form(ObjectId::from_str("0123456789abcdef01234567").unwrap()), r#""0123456789abcdef01234567""#);
    assert_eq!(form(Bson::Symbol("s".to_owned())), r#""s""#);
    assert_eq!(form("a\"\\/\u{8}\u{1f}\u{7f}é\u{2028}"), "\"a\\\"\\\\/\\b\\u001f\u{7f}é\u{2028}\"");
    assert_eq!(form(doc! { "z": [1, [], {}], "a": Bson::Null }), r#"{"z":[1,[],{}],"a":null}"#);
    assert_eq!(form(true), "true");
}

#[test]
fn what_json_cannot_say_is_refused_with_its_place() {
    let values = [
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: vec![1] }),
        Bson::Double(f64::NAN),
        Bson::Double(f64::NEG_INFINITY),
        Bson::Decimal128(Decimal128::from_str("NaN").unwrap()),
        Bson::Decimal128(Decimal128::from_str("-Infinity").unwrap()),
        Bson::RegularExpression(Regex { pattern: "a".to_owned(), options: String::new() }),
        Bson::JavaScriptCode("1".to_owned()),
        Bson::Timestamp(Timestamp { time: 1, increment: 1 }),
        Bson::Undefined,
        Bson::MinKey,
        Bson::MaxKey,
        Bson::DateTime(DateTime::MAX),
        // The year -1.
        Bson::DateTime(DateTime::from_millis(-62_198_755_200_000)),
    ];
    for value in values {
        let refused = text(&doc! { "a": [0, { "b": value.clone() }] }).unwrap_err();
        assert_eq!(refused.code, RefusalCode::UnsupportedValue, "{value:?}");
        assert!(refused.reason.starts_with("content.raw.a.1.b is a "), "{}", refused.reason);
    }
}

/// A document around a document around …; built from the inside, as bytes, so that nothing here recurses either.
fn nested(levels: usize) -> RawDocumentBuf {
    let mut bytes = vec![5, 0, 0, 0, 0];
    for _ in 1..levels {
        let length = i32::try_from(bytes.len() + 8).unwrap();
        let head = [&length.to_le_bytes()[..], b"\x03a\0"].concat();
        bytes = [&head[..], &bytes, &[0]].concat();
    }
    RawDocumentBuf::from_bytes(bytes).unwrap()
}

#[test]
fn depth_is_bounded_and_no_depth_overflows_the_stack() {
    let deepest = text_of(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(deepest.matches('{').count(), MAX_DEPTH);
    for levels in [MAX_DEPTH + 1, 10_000] {
        let refused = text_of(&nested(levels)).unwrap_err();
        assert_eq!(refused.code, RefusalCode::TooLarge);
        assert!(refused.reason.len() < 1_000, "{}", refused.reason);
    }
}

#[test]
fn a_text_longer_than_the_limit_is_refused() {
    let refused = text(&doc! { "a": "x".repeat(1 << 20), "b": 1 }).unwrap_err();
    assert_eq!(refused.code, RefusalCode::TooLarge);
}

#[test]
fn broken_bytes_are_refused() {
    // A string whose length goes past the end, one that is no UTF-8, a type that is none.
    for element in [&b"\x02a\0\xff\0\0\0x\0"[..], b"\x02a\0\x02\0\0\0\xff\0", b"\x7ea\0"] {
        let length = i32::try_from(element.len() + 5).unwrap();
        let bytes = [&length.to_le_bytes()[..], element, &[0]].concat();
        let refused = text_of(RawDocument::from_bytes(&bytes).unwrap()).unwrap_err();
        assert_eq!(refused.code, RefusalCode::Malformed, "{}", refused.reason);
    }
}

/// Values with a form in JSON.
fn values() -> impl Strategy<Value = Bson> {
    let leaf = prop_oneof![
        Just(Bson::Null),
        any::<bool>().prop_map(Bson::Boolean),
        any::<i32>().prop_map(Bson::Int32),
        any::<i64>().prop_map(Bson::Int64),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Bson::Double),
        (any::<i64>(), -6_000..6_000)
            .prop_map(|(digits, exponent)| Bson::Decimal128(format!("{digits}E{exponent}").parse().unwrap())),
        (0_i64..253_402_300_799_999).prop_map(|millis| Bson::DateTime(DateTime::from_millis(millis))),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        any::<String>().prop_map(Bson::String),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Bson::Array),
            documents(inner).prop_map(Bson::Document),
        ]
    })
}

fn documents(values: impl Strategy<Value = Bson>) -> impl Strategy<Value = Document> {
    // BSON names end at a zero byte.
    let name = any::<String>().prop_map(|name| name.replace('\0', ""));
    proptest::collection::vec((name, values), 0..8).prop_map(|members| members.into_iter().collect())
}

fn canonical(text: &str) -> Vec<u8> {
    Canonicalizer::new(export_canon::json::Limits::default()).canonicalize(text.as_bytes()).unwrap().into_owned()
}

/// Every double of `value` against the number in `json`.
fn same(value: &Bson, json: &serde_json::Value) -> bool {
    match (value, json) {
        (Bson::Null, serde_json::Value::Null) => true,
        (Bson::Boolean(a), serde_json::Value::Bool(b)) => a == b,
        (Bson::Int32(a), json) => json.as_i64() == Some(i64::from(*a)),
        (Bson::Int64(a), json) => json.as_i64() == Some(*a),
        // `serde_json` without `float_roundtrip` may miss by one unit, so the text is what the property looks at.
        (Bson::Double(_) | Bson::Decimal128(_), serde_json::Value::Number(_)) => true,
        (Bson::String(a), serde_json::Value::String(b)) => a == b,
        (Bson::ObjectId(a), serde_json::Value::String(b)) => a.to_hex() == *b,
        (Bson::DateTime(a), serde_json::Value::String(b)) => {
            b.parse::<export_contract::Timestamp>().is_ok_and(|time| time.as_micros() == a.timestamp_millis() * 1_000)
        }
        (Bson::Array(a), serde_json::Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Bson::Document(a), serde_json::Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn every_document_of_values_json_knows_has_one_text_that_says_the_same(document in documents(values())) {
        let first = text(&document).unwrap();
        prop_assert_eq!(&first, &text(&document.clone()).unwrap());
        // Exponents beyond those of a double are JSON, but serde_json does not read them.
        if let Ok(json) = serde_json::from_str(&first) {
            prop_assert!(same(&Bson::Document(document.clone()), &json), "{}", first);
        }
        let reversed: Document = document.into_iter().collect::<Vec<_>>().into_iter().rev().collect();
        prop_assert_eq!(canonical(&first), canonical(&text(&reversed).unwrap()));
    }

    #[test]
    fn every_double_reads_back_as_itself(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
        let read: f64 = form(number).parse().unwrap();
        prop_assert!(read.to_bits() == number.to_bits() || read == 0.0 && number == 0.0);
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_refusal(mut bytes in proptest::collection::vec(any::<u8>(), 5..200)) {
        let length = i32::try_from(bytes.len()).unwrap().to_le_bytes();
        bytes[..4].copy_from_slice(&length);
        *bytes.last_mut().unwrap() = 0;
        if let Ok(text) = text_of(RawDocument::from_bytes(&bytes).unwrap()) {
            canonical_or_duplicate(&text);
        }
    }

    #[test]
    fn a_document_with_a_flipped_byte_is_refused_or_has_a_text(document in documents(values()), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = RawDocumentBuf::from_document(&document).unwrap().into_bytes();
        let inner = 4..bytes.len() - 1;
        if inner.is_empty() {
            return Ok(());
        }
        let at = inner.start + at.index(inner.len());
        bytes[at] ^= flip;
        if let Ok(text) = text_of(RawDocument::from_bytes(&bytes).unwrap()) {
            canonical_or_duplicate(&text);
        }
    }
}

/// A text is well-formed whatever its names are.
fn canonical_or_duplicate(text: &str) {
    let limits = export_canon::json::Limits::default();
    Canonicalizer::new(limits).keep_duplicates().canonicalize(text.as_bytes()).unwrap();
}
