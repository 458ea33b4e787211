//! Arrays of the server: lists here, so of one dimension and without NULL.

use tokio_postgres::types::{Kind, Type};

use super::super::value::Value;
use super::from_server::{Unread, decode};
use super::wire::Wire;
use super::{Locale, Space, base};

/// An array of numbers of 64 bits in the server's format.
pub(super) fn of_longs(element: u32, items: &[i64]) -> Result<Vec<u8>, String> {
    let length = i32::try_from(items.len()).map_err(|_| "an array is too long".to_owned())?;
    let mut out = Vec::with_capacity(20 + items.len() * 12);
    let dimensions = i32::from(length > 0);
    out.extend(dimensions.to_be_bytes());
    out.extend(0_i32.to_be_bytes());
    out.extend(element.to_be_bytes());
    if length > 0 {
        out.extend(length.to_be_bytes());
        out.extend(1_i32.to_be_bytes());
    }
    for item in items {
        out.extend(8_i32.to_be_bytes());
        out.extend(item.to_be_bytes());
    }
    Ok(out)
}

/// The elements, as they come.
pub(super) fn elements(raw: &[u8]) -> Result<impl Iterator<Item = Result<&[u8], Unread>>, Unread> {
    let mut wire = Wire::new(raw);
    let dimensions = wire.i32()?;
    wire.i32()?;
    wire.u32()?;
    let mut left = match dimensions {
        0 => 0,
        1 => {
            let length = wire.length()?;
            wire.i32()?;
            length
        }
        _ => return Err(Unread::of("it has several dimensions, and a list has one")),
    };
    Ok(std::iter::from_fn(move || {
        if left == 0 {
            return wire.end().err().map(|damaged| Err(damaged.into()));
        }
        left -= 1;
        Some(one(&mut wire))
    }))
}

fn one<'a>(wire: &mut Wire<'a>) -> Result<&'a [u8], Unread> {
    let element = wire.sized()?;
    element.ok_or_else(|| Unread::of("there is NULL in it, and a list has none"))
}

/// The list of the elements, by the type of all of them: an empty one has a type, too.
pub(super) fn read(
    of: &Type,
    raw: &[u8],
    locale: Locale,
    space: &mut Space,
) -> Result<Value, Unread> {
    let mut items = elements(raw)?;
    let element = base(of);
    let unlisted = || Unread::of("no list holds its elements");
    // A server may say that arrays are of arrays, and these of others, without end.
    let is_nested = *element != Type::INT2_VECTOR && matches!(element.kind(), Kind::Array(_));
    if is_nested && items.next().is_some() {
        return Err(unlisted());
    }
    macro_rules! list {
        ($one:ident => $many:ident) => {{
            let mut list = Vec::new();
            for raw in items {
                let Value::$one(item) = decode(element, raw?, locale, space)? else {
                    return Err(unlisted());
                };
                space.take(size_of_val(&item))?;
                list.push(item);
            }
            Ok(Value::$many(list))
        }};
    }
    match *element {
        Type::BOOL => list!(Bool => BoolArray),
        Type::INT2 => list!(Int2 => Int2Array),
        Type::INT4 => list!(Int4 => Int4Array),
        Type::INT8 | Type::OID | Type::XID | Type::CID => list!(Int8 => Int8Array),
        Type::INT2_VECTOR => list!(Int2Vector => Int2VectorArray),
        Type::FLOAT4 => list!(Float4 => Float4Array),
        Type::FLOAT8 => list!(Float8 => Float8Array),
        Type::NUMERIC => list!(Numeric => NumericArray),
        Type::MONEY => list!(Money => MoneyArray),
        Type::BIT => list!(Bit => BitArray),
        Type::VARBIT => list!(BitVarying => VarbitArray),
        Type::BYTEA => list!(Bytea => ByteaArray),
        Type::CHAR | Type::BPCHAR => list!(Char => CharArray),
        Type::VARCHAR => list!(Varchar => VarcharArray),
        Type::NAME => list!(Name => NameArray),
        Type::CIDR => list!(Cidr => CidrArray),
        Type::INET => list!(Inet => InetArray),
        Type::MACADDR => list!(Macaddr => MacaddrArray),
        Type::MACADDR8 => list!(Macaddr8 => Macaddr8Array),
        Type::BOX => list!(Box => BoxArray),
        Type::CIRCLE => list!(Circle => CircleArray),
        Type::LINE => list!(Line => LineArray),
        Type::LSEG => list!(Lseg => LsegArray),
        Type::PATH => list!(Path => PathArray),
        Type::POINT => list!(Point => PointArray),
        Type::POLYGON => list!(Polygon => PolygonArray),
        Type::DATE => list!(Date => DateArray),
        Type::DATE_RANGE => list!(Interval => IntervalArray),
        Type::TIME => list!(Time => TimeArray),
        Type::TIMETZ => list!(TimeTz => TimeTzArray),
        Type::TIMESTAMP => list!(Timestamp => TimestampArray),
        Type::TIMESTAMPTZ => list!(TimestampTz => TimestampTzArray),
        Type::JSON => list!(Json => JsonArray),
        Type::JSONB => list!(Jsonb => JsonbArray),
        Type::PG_LSN => list!(PgLsn => PgLsnArray),
        Type::XML => list!(Xml => XmlArray),
        Type::UUID => list!(Uuid => UuidArray),
        _ => list!(Text => TextArray),
    }
}
