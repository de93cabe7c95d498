//! The JSON Schema of every record, made from the types that make the records.

use super::{
    VERSION,
    event::EventRecord,
    finding::FindingRecord,
    run::{Start, Stats, Stop},
    socket::SocketRecord,
};
use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema,
    transform::transform_subschemas,
};
use serde_json::{Map, Value, json};

/// One document for all records; `type` tells which part of it holds.
pub fn schema() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let records = [
        of::<Start>("start", &mut generator),
        of::<FindingRecord>("finding", &mut generator),
        of::<EventRecord>("event", &mut generator),
        of::<Stats>("stats", &mut generator),
        of::<Stop>("stop", &mut generator),
        of::<SocketRecord>("socket", &mut generator),
    ];
    let mut definitions = generator.take_definitions(true);
    for definition in definitions.values_mut() {
        if let Ok(schema) = <&mut Schema>::try_from(definition) {
            never_null(schema);
        }
    }
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A record of tcptrace",
        "description": "One JSON object a line. Absent means unknown. Additions keep v, so unknown keys are to be \
                        ignored. Integers take 64 bits.",
        "oneOf": records,
        "$defs": definitions,
    })
}

/// The schema of one record, which no record of another type fits.
fn of<R: JsonSchema>(r#type: &str, generator: &mut SchemaGenerator) -> Schema {
    let mut schema = R::json_schema(generator);
    never_null(&mut schema);
    schema.insert("title".to_owned(), r#type.into());
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        fixed(properties, "v", VERSION.into());
        fixed(properties, "type", r#type.into());
    }
    schema
}

fn fixed(properties: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some(Value::Object(property)) = properties.get_mut(name) {
        property.retain(|key, _| key == "description");
        property.insert("const".to_owned(), value);
    }
}

/// What is unknown is absent, never null.
fn never_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.retain(|one| one != &json!({ "type": "null" }));
        if let [Value::Object(only)] = any.as_mut_slice() {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            schema.ensure_object().extend(only);
        }
    }
    transform_subschemas(&mut never_null, schema);
}

#[cfg(test)]
mod tests {
    use super::schema;
    use crate::record::sample;
    use jsonschema::Validator;
    use serde_json::Value;

    /// The schema, made strict: no key that it does not name.
    fn strict() -> Validator {
        let mut document = schema().to_value();
        for record in document["oneOf"].as_array_mut().expect("a list") {
            record["additionalProperties"] = false.into();
        }
        for definition in document["$defs"].as_object_mut().expect("an object").values_mut() {
            let object = definition["type"] == "object" && definition["properties"].is_object();
            if object {
                definition["additionalProperties"] = false.into();
            }
        }
        jsonschema::validator_for(&document).expect("a schema")
    }

    #[test]
    fn every_record_is_as_the_schema_says() {
        let validator = strict();
        for line in sample::lines() {
            let value: Value = serde_json::from_slice(&line).expect("JSON");
            let wrong: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{wrong:#?}\n{value:#}");
        }
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let validator = strict();
        let line = sample::lines().swap_remove(0);
        let good: Value = serde_json::from_slice(&line).expect("JSON");
        for (key, value) in
            [("v", 2.into()), ("type", "found".into()), ("seq", "1".into()), ("new_key", 1.into())]
        {
            let mut wrong = good.clone();
            wrong[key] = value;
            assert!(!validator.is_valid(&wrong), "{key}");
        }
        for key in ["v", "type", "seq", "time", "boot_ns", "host"] {
            let mut wrong = good.clone();
            wrong.as_object_mut().expect("an object").remove(key);
            assert!(!validator.is_valid(&wrong), "without {key}");
        }
    }

    #[test]
    fn nothing_is_ever_null() {
        assert!(!schema().to_value().to_string().contains("null"));
    }
}
