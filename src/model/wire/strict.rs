//! JSON without duplicate keys. `serde_json` keeps the last of two equal keys; a checker that reads
//! the first one and a program that acts on the last one would then see two different requests in
//! one line.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A line that is not JSON, or has a duplicate key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadJson(String);

/// Parses one JSON value with nothing after it.
pub(super) fn parse(text: &[u8]) -> Result<Value, BadJson> {
    serde_json::from_slice(text).map(|Strict(value)| value).map_err(|error| BadJson(error.to_string()))
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Strict, D::Error> {
        from.deserialize_any(Builder).map(Strict)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = from.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            let Strict(value) = from.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key {key:?}")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn duplicate_keys_are_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":{"a":1,"b":2,"a":3}}"#, r#"[[{"a":1,"\u0061":2}]]"#] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("duplicate key \"a\""), "{error}");
        }
        assert!(parse(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_ok());
    }

    #[test]
    fn hostile_text_is_an_error() {
        let deep = "[".repeat(100_000);
        for text in [&b"\xff\xfe"[..], b"\"\xff\"", b"{} {}", b"1e999", b"nan", b"\"\\ud800\"", deep.as_bytes(), b""] {
            assert!(parse(text).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_json_or_an_error(bytes in any::<Vec<u8>>()) {
            if let Ok(value) = parse(&bytes) {
                let plain: Value = serde_json::from_slice(&bytes).unwrap();
                prop_assert_eq!(value, plain);
            }
        }

        #[test]
        fn text_similar_to_json_never_panics(text in r#"[\[\]{}",:0-9a\\ue.-]{0,30}"#) {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
