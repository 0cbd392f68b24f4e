//! Filters for a read in `_id` order.

use export_contract::TenantId;
use export_mongo::bson::spec::ElementType;
use export_mongo::bson::{Bson, Document, doc};

use super::fields::TENANT;

/// Types that an `_id` can have, as `$type` names them, in the order in which MongoDB sorts them (manual,
/// "Comparison/Sort Order"). Types that no `_id` of this century has are left out: FerretDB refuses to hear of them.
const ORDER: [&str; 9] = ["null", "number", "string", "object", "binData", "objectId", "bool", "date", "timestamp"];

/// How many of [`ORDER`] sort before every value of the type of `id`.
fn earlier(id: &Bson) -> usize {
    let name = match id.element_type() {
        ElementType::Int32 | ElementType::Int64 | ElementType::Double | ElementType::Decimal128 => "number",
        ElementType::String | ElementType::Symbol => "string",
        ElementType::EmbeddedDocument => "object",
        ElementType::Binary => "binData",
        ElementType::ObjectId => "objectId",
        ElementType::Boolean => "bool",
        ElementType::DateTime => "date",
        ElementType::Timestamp => "timestamp",
        ElementType::MaxKey => return ORDER.len(),
        _ => "null",
    };
    ORDER.iter().position(|found| *found == name).unwrap_or(0)
}

/// The tenant's documents behind `after`.
///
/// `$gt` would find values of the type of `after` only, so that a collection with `_id`s of several types ended at the
/// first of them. So it is said what not to read again: what compares as not greater, and the types that sort before. An
/// `_id` of a type that is not thought of here is read twice, which changes nothing, and never missed.
pub(super) fn behind(tenant: &TenantId, after: Option<&Bson>) -> Document {
    let mut filter = doc! { "$or": TENANT.map(|name| doc! { name: tenant.as_str() }).to_vec() };
    if let Some(after) = after {
        let mut read = vec![doc! { "_id": { "$lte": after } }];
        let types = ORDER.iter().take(earlier(after)).copied();
        read.extend(types.map(|name| doc! { "_id": { "$type": name } }));
        filter.insert("$nor", read);
    }
    filter
}
