//! The table from values of guests to values of PostgreSQL.

use tokio_postgres::types::Type;

use super::super::value::{Mac48, Mac64, Value};
use super::{Encoded, Locale, base, calendar, element, geometry, number, search, text};

/// A value in the form in which it is sent.
pub(super) enum Shape {
    Null,
    One(String),
    Many(Vec<String>),
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// Amounts of money.
    Money(Vec<String>, Many),
}

/// Whether a value is an array.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    No,
    Yes,
}

/// A parameter for a place of that type.
///
/// The error says what does not fit, without the value.
pub(in super::super) fn encode(
    value: &Value,
    ty: &Type,
    locale: Locale,
) -> Result<Encoded, String> {
    if !fits(value, ty) {
        return Err(format!("`{}` does not fit the type `{ty}`", value.case()));
    }
    Ok(match shape(value)? {
        Shape::Null => Encoded::Null,
        Shape::One(text) => Encoded::Text(text),
        Shape::Bytes(bytes) if *base(ty) == Type::BYTEA || *base(ty) == Type::CHAR => {
            Encoded::Binary(bytes)
        }
        Shape::Bytes(bytes) => Encoded::Text(text::utf8(bytes)?),
        Shape::Many(items) => Encoded::Text(text::array(&items, delimiter(ty))),
        Shape::Money(amounts, many) => money(&amounts, many, ty, locale)?,
    })
}

/// Boxes have commas inside, so something else stands between them.
fn delimiter(ty: &Type) -> char {
    match *base(ty) == Type::BOX_ARRAY {
        true => ';',
        false => ',',
    }
}

fn money(amounts: &[String], many: Many, ty: &Type, locale: Locale) -> Result<Encoded, String> {
    if !super::is_money(ty) {
        return Ok(Encoded::Text(match many {
            Many::No => amounts.concat(),
            Many::Yes => text::array(amounts, ','),
        }));
    }
    let digits = locale.money.unwrap_or(2);
    let units = amounts.iter().map(|amount| number::units(amount, digits));
    let units = units.collect::<Result<Vec<i64>, String>>()?;
    Ok(Encoded::Binary(match many {
        Many::No => units.into_iter().flat_map(i64::to_be_bytes).collect(),
        Many::Yes => super::array::of_longs(Type::MONEY.oid(), &units)?,
    }))
}

/// Whether a value may stand in a place of a type. Which numbers, texts and times a type takes is for the server to say.
fn fits(value: &Value, ty: &Type) -> bool {
    use Value as V;
    let ty = base(ty);
    let of = |wanted: &[Type]| wanted.contains(ty);
    let each = |wanted: &[Type]| element(ty).is_some_and(|it| wanted.contains(base(it)));
    match value {
        // The server reads text as any type.
        V::Null | V::Text(_) => true,
        V::TextArray(_) => element(ty).is_some(),
        V::BigInt(_) | V::Int8(_) | V::BigSerial(_) | V::Serial8(_) | V::Integer(_) => of(&INTS),
        V::Int(_) | V::Int4(_) | V::Serial(_) | V::Serial4(_) => of(&INTS),
        V::SmallInt(_) | V::Int2(_) | V::SmallSerial(_) | V::Serial2(_) => of(&INTS),
        V::Int8Array(_) | V::Int4Array(_) | V::Int2Array(_) => each(&INTS),
        V::Bool(_) | V::Boolean(_) => of(&[Type::BOOL]),
        V::BoolArray(_) => each(&[Type::BOOL]),
        V::Double(_) | V::Float8(_) | V::Real(_) | V::Float4(_) => of(&FLOATS),
        V::Float8Array(_) | V::Float4Array(_) => each(&FLOATS),
        V::Numeric(_) | V::Decimal(_) => of(&FLOATS) || of(&INTS) || of(&[Type::MONEY]),
        V::NumericArray(_) => each(&FLOATS) || each(&INTS) || each(&[Type::MONEY]),
        V::Money(_) => of(&[Type::MONEY, Type::NUMERIC]),
        V::MoneyArray(_) => each(&[Type::MONEY, Type::NUMERIC]),
        V::Int2Vector(_) => of(&[Type::INT2_VECTOR]),
        V::Int2VectorArray(_) => each(&[Type::INT2_VECTOR]),
        V::Bit(_) | V::BitVarying(_) | V::Varbit(_) => of(&BITS),
        V::BitArray(_) | V::VarbitArray(_) => each(&BITS),
        V::Bytea(_) => of(&[Type::BYTEA]),
        V::ByteaArray(_) => each(&[Type::BYTEA]),
        V::Char(_) | V::Varchar(_) | V::Name(_) => text::is_text(ty),
        V::CharArray(_) | V::VarcharArray(_) | V::NameArray(_) => {
            element(ty).is_some_and(text::is_text)
        }
        V::Cidr(_) | V::Inet(_) => of(&NETS),
        V::CidrArray(_) | V::InetArray(_) => each(&NETS),
        V::Macaddr(_) => of(&[Type::MACADDR, Type::MACADDR8]),
        V::MacaddrArray(_) => each(&[Type::MACADDR, Type::MACADDR8]),
        V::Macaddr8(_) => of(&[Type::MACADDR8]),
        V::Macaddr8Array(_) => each(&[Type::MACADDR8]),
        V::Json(_) | V::Jsonb(_) => of(&[Type::JSON, Type::JSONB]),
        V::JsonArray(_) | V::JsonbArray(_) => each(&[Type::JSON, Type::JSONB]),
        V::PgLsn(_) => of(&[Type::PG_LSN]),
        V::PgLsnArray(_) => each(&[Type::PG_LSN]),
        V::PgSnapshot(_) => of(&[Type::PG_SNAPSHOT, Type::TXID_SNAPSHOT]),
        V::TxidSnapshot(_) => of(&[Type::XID8, Type::INT8]),
        V::Xml(_) => of(&[Type::XML]),
        V::XmlArray(_) => each(&[Type::XML]),
        V::TsQuery(_) => of(&[Type::TSQUERY]),
        V::TsVector(_) => of(&[Type::TS_VECTOR]),
        V::Uuid(_) => of(&[Type::UUID]),
        V::UuidArray(_) => each(&[Type::UUID]),
        V::Hstore(_) => ty.name() == "hstore",
        other => fits_shape_or_time(other, ty),
    }
}

fn fits_shape_or_time(value: &Value, ty: &Type) -> bool {
    use Value as V;
    let of = |wanted: Type| *ty == wanted;
    let each = |wanted: Type| element(ty).is_some_and(|it| *base(it) == wanted);
    match value {
        V::Box(_) => of(Type::BOX),
        V::BoxArray(_) => each(Type::BOX),
        V::Circle(_) => of(Type::CIRCLE),
        V::CircleArray(_) => each(Type::CIRCLE),
        V::Line(_) => of(Type::LINE),
        V::LineArray(_) => each(Type::LINE),
        V::Lseg(_) => of(Type::LSEG),
        V::LsegArray(_) => each(Type::LSEG),
        V::Path(_) => of(Type::PATH),
        V::PathArray(_) => each(Type::PATH),
        V::Point(_) => of(Type::POINT),
        V::PointArray(_) => each(Type::POINT),
        V::Polygon(_) => of(Type::POLYGON),
        V::PolygonArray(_) => each(Type::POLYGON),
        V::Date(_) => of(Type::DATE),
        V::DateArray(_) => each(Type::DATE),
        V::Interval(_) => of(Type::DATE_RANGE),
        V::IntervalArray(_) => each(Type::DATE_RANGE),
        V::Time(_) => of(Type::TIME),
        V::TimeArray(_) => each(Type::TIME),
        V::TimeTz(_) => of(Type::TIMETZ),
        V::TimeTzArray(_) => each(Type::TIMETZ),
        V::Timestamp(_) => of(Type::TIMESTAMP),
        V::TimestampArray(_) => each(Type::TIMESTAMP),
        V::TimestampTz(_) => of(Type::TIMESTAMPTZ),
        V::TimestampTzArray(_) => each(Type::TIMESTAMPTZ),
        _ => false,
    }
}

/// What takes whole numbers.
const INTS: [Type; 10] = [
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::OID,
    Type::XID,
    Type::CID,
    Type::XID8,
    Type::NUMERIC,
    Type::FLOAT4,
    Type::FLOAT8,
];
const FLOATS: [Type; 3] = [Type::FLOAT4, Type::FLOAT8, Type::NUMERIC];
const BITS: [Type; 2] = [Type::BIT, Type::VARBIT];
const NETS: [Type; 2] = [Type::INET, Type::CIDR];

fn many<T>(items: &[T], text: impl Fn(&T) -> Result<String, String>) -> Result<Shape, String> {
    items
        .iter()
        .map(text)
        .collect::<Result<_, _>>()
        .map(Shape::Many)
}

fn numbers<T: ToString>(items: &[T]) -> Shape {
    Shape::Many(items.iter().map(T::to_string).collect())
}

/// The form of a value.
pub(super) fn shape(value: &Value) -> Result<Shape, String> {
    use Value as V;
    Ok(match value {
        V::Null => Shape::Null,
        V::BigInt(n) | V::Int8(n) | V::BigSerial(n) | V::Serial8(n) | V::TxidSnapshot(n) => {
            Shape::One(n.to_string())
        }
        V::Integer(n) | V::Int(n) | V::Int4(n) => Shape::One(n.to_string()),
        V::Serial(n) | V::Serial4(n) => Shape::One(n.to_string()),
        V::SmallInt(n) | V::Int2(n) | V::SmallSerial(n) | V::Serial2(n) => {
            Shape::One(n.to_string())
        }
        V::Int8Array(items) => numbers(items),
        V::Int4Array(items) => numbers(items),
        V::Int2Array(items) => numbers(items),
        V::Bool(b) | V::Boolean(b) => Shape::One(b.to_string()),
        V::BoolArray(items) => numbers(items),
        V::Double(n) | V::Float8(n) => Shape::One(number::double(*n)),
        V::Float8Array(items) => many(items, |n| Ok(number::double(*n)))?,
        V::Real(n) | V::Float4(n) => Shape::One(number::single(*n)),
        V::Float4Array(items) => many(items, |n| Ok(number::single(*n)))?,
        V::Numeric(n) | V::Decimal(n) => Shape::Money(vec![n.clone()], Many::No),
        V::Money(n) => Shape::Money(vec![n.clone()], Many::No),
        V::NumericArray(items) | V::MoneyArray(items) => Shape::Money(items.clone(), Many::Yes),
        V::Int2Vector(items) => Shape::One(text::words(items)),
        V::Int2VectorArray(items) => many(items, |items| Ok(text::words(items)))?,
        V::Bit((length, bytes)) => Shape::One(text::bits(Some(*length), bytes)?),
        V::BitArray(items) => many(items, |(length, bytes)| text::bits(Some(*length), bytes))?,
        V::BitVarying((length, bytes)) | V::Varbit((length, bytes)) => {
            Shape::One(text::bits(*length, bytes)?)
        }
        V::VarbitArray(items) => many(items, |(length, bytes)| text::bits(*length, bytes))?,
        V::Bytea(bytes) => Shape::Bytes(bytes.clone()),
        V::ByteaArray(items) => many(items, |bytes| Ok(text::hex(bytes)))?,
        V::Char((length, bytes)) => Shape::Bytes(text::exactly(*length, bytes)?),
        V::CharArray(items) => many(items, |(length, bytes)| {
            text::utf8(text::exactly(*length, bytes)?)
        })?,
        V::Varchar((most, bytes)) => Shape::Bytes(text::at_most(*most, bytes)?),
        V::VarcharArray(items) => many(items, |(most, bytes)| {
            text::utf8(text::at_most(*most, bytes)?)
        })?,
        other => return shape_of_others(other),
    })
}

fn shape_of_others(value: &Value) -> Result<Shape, String> {
    use Value as V;
    Ok(match value {
        V::Cidr(s) | V::Inet(s) | V::Json(s) | V::Jsonb(s) | V::Name(s) | V::Text(s) => {
            Shape::One(s.clone())
        }
        V::Xml(s) | V::TsQuery(s) | V::Uuid(s) => Shape::One(s.clone()),
        V::CidrArray(items) | V::InetArray(items) | V::JsonArray(items) | V::JsonbArray(items) => {
            Shape::Many(items.clone())
        }
        V::NameArray(items) | V::TextArray(items) | V::XmlArray(items) | V::UuidArray(items) => {
            Shape::Many(items.clone())
        }
        V::Macaddr(mac) => Shape::One(mac48(mac)),
        V::MacaddrArray(items) => many(items, |mac| Ok(mac48(mac)))?,
        V::Macaddr8(mac) => Shape::One(mac64(mac)),
        V::Macaddr8Array(items) => many(items, |mac| Ok(mac64(mac)))?,
        V::Box((low, high)) => Shape::One(geometry::points("", &[*low, *high], "")),
        V::BoxArray(items) => many(items, |(low, high)| {
            Ok(geometry::points("", &[*low, *high], ""))
        })?,
        V::Circle(circle) => Shape::One(geometry::circle(*circle)),
        V::CircleArray(items) => many(items, |circle| Ok(geometry::circle(*circle)))?,
        V::Line((a, b)) | V::Lseg((a, b)) => Shape::One(geometry::points("[", &[*a, *b], "]")),
        V::LineArray(items) | V::LsegArray(items) => {
            many(items, |(a, b)| Ok(geometry::points("[", &[*a, *b], "]")))?
        }
        V::Path(points) => Shape::One(geometry::points("[", points, "]")),
        V::PathArray(items) => many(items, |points| Ok(geometry::points("[", points, "]")))?,
        V::Point(point) => Shape::One(geometry::points("", &[*point], "")),
        V::PointArray(items) => many(items, |point| Ok(geometry::points("", &[*point], "")))?,
        V::Polygon(points) => Shape::One(geometry::points("(", points, ")")),
        V::PolygonArray(items) => many(items, |points| Ok(geometry::points("(", points, ")")))?,
        V::Date(date) => Shape::One(calendar::date(*date)?),
        V::DateArray(items) => many(items, |date| calendar::date(*date))?,
        V::Interval(days) => Shape::One(calendar::days(*days)?),
        V::IntervalArray(items) => many(items, |days| calendar::days(*days))?,
        V::Time(time) => Shape::One(calendar::time(*time)?),
        V::TimeArray(items) => many(items, |time| calendar::time(*time))?,
        V::TimeTz(time) => Shape::One(calendar::time_tz(time)?),
        V::TimeTzArray(items) => many(items, calendar::time_tz)?,
        V::Timestamp(at) => Shape::One(calendar::timestamp(*at, None)?),
        V::TimestampArray(items) => many(items, |at| calendar::timestamp(*at, None))?,
        V::TimestampTz(at) => Shape::One(calendar::timestamp(at.timestamp, Some(at.offset))?),
        V::TimestampTzArray(items) => many(items, |at| {
            calendar::timestamp(at.timestamp, Some(at.offset))
        })?,
        V::PgLsn(place) => Shape::One(lsn(*place)),
        V::PgLsnArray(items) => many(items, |place| Ok(lsn(*place)))?,
        V::PgSnapshot((least, next, running)) => {
            let running: Vec<String> = running.iter().map(i64::to_string).collect();
            Shape::One(format!("{least}:{next}:{}", running.join(",")))
        }
        V::TsVector(lexemes) => Shape::One(search::vector(lexemes)?),
        V::Hstore(pairs) => Shape::One(text::hstore(pairs)),
        other => return Err(format!("`{}` cannot be sent", other.case())),
    })
}

fn lsn(place: u64) -> String {
    format!("{:X}/{:X}", place >> 32, place & 0xFFFF_FFFF)
}

fn mac48(mac: &Mac48) -> String {
    let (a, b, c, d, e, f) = mac.bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn mac64(mac: &Mac64) -> String {
    let (a, b, c, d, e, f, g, h) = mac.bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}:{g:02x}:{h:02x}")
}
