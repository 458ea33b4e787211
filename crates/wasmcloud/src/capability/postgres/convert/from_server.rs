//! The table from values of PostgreSQL to values of guests.

use tokio_postgres::types::{Kind, Type};

use super::super::value::{Mac48, Mac64, Value};
use super::super::weight;
use super::wire::{Damaged, Wire, utf8};
use super::{Locale, Space, array, base, calendar, geometry, number, search, text, to_server};

/// Why a value cannot be told: words about its type, never about what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Unread(pub(in super::super) String);

impl Unread {
    pub(super) fn of(why: &str) -> Self {
        Self(why.to_owned())
    }

    pub(super) fn too_large() -> Self {
        Self::of("with the rest of its row, it takes more memory than this host gives a row")
    }
}

impl From<Damaged> for Unread {
    fn from(_: Damaged) -> Self {
        Self::of("its bytes are not as they should be")
    }
}

/// The value of a column of that type, which is not NULL.
pub(in super::super) fn decode(
    ty: &Type,
    raw: &[u8],
    locale: Locale,
    space: &mut Space,
) -> Result<Value, Unread> {
    let ty = base(ty);
    // It calls itself an array, and has a case of its own.
    if let Kind::Array(element) = ty.kind()
        && *ty != Type::INT2_VECTOR
    {
        return array::read(element, raw, locale, space);
    }
    let mut wire = Wire::new(raw);
    let value = match *ty {
        Type::VOID => Value::Null,
        Type::BOOL => Value::Bool(wire.u8()? != 0),
        Type::INT2 => Value::Int2(wire.i16()?),
        Type::INT4 => Value::Int4(wire.i32()?),
        Type::INT8 => Value::Int8(wire.i64()?),
        // Numbers without a sign, which the interface has only as `serial`.
        Type::OID | Type::XID | Type::CID => Value::Int8(wire.u32()?.into()),
        Type::XID8 => Value::TxidSnapshot(i64::try_from(wire.u64()?).map_err(|_| Damaged)?),
        Type::FLOAT4 => Value::Float4(number::of_single(wire.f32()?)),
        Type::FLOAT8 => Value::Float8(number::of_double(wire.f64()?)),
        Type::NUMERIC => Value::Numeric(number::decimal(wire.rest())?),
        Type::MONEY => Value::Money(number::money(wire.i64()?, locale.money.unwrap_or(2))),
        Type::INT2_VECTOR => Value::Int2Vector(shorts(wire.rest())?),
        Type::BIT => Value::Bit(bits(&mut wire)?),
        Type::VARBIT => {
            let (length, bytes) = bits(&mut wire)?;
            Value::BitVarying((Some(length), bytes))
        }
        Type::BYTEA => Value::Bytea(wire.rest().to_vec()),
        Type::CHAR | Type::BPCHAR => {
            let text = wire.rest().to_vec();
            Value::Char((u32::try_from(text.len()).map_err(|_| Damaged)?, text))
        }
        Type::VARCHAR => Value::Varchar((None, wire.rest().to_vec())),
        Type::TEXT | Type::UNKNOWN | Type::REFCURSOR => Value::Text(utf8(wire.rest())?),
        Type::NAME => Value::Name(utf8(wire.rest())?),
        Type::XML => Value::Xml(utf8(wire.rest())?),
        Type::JSON => Value::Json(utf8(wire.rest())?),
        Type::JSONB => Value::Jsonb(versioned(&mut wire)?),
        Type::JSONPATH => Value::Text(versioned(&mut wire)?),
        Type::CIDR => Value::Cidr(network(&mut wire)?),
        Type::INET => Value::Inet(network(&mut wire)?),
        Type::MACADDR => Value::Macaddr(mac48(&mut wire)?),
        Type::MACADDR8 => Value::Macaddr8(mac64(&mut wire)?),
        Type::UUID => Value::Uuid(uuid(&mut wire)?),
        Type::TSQUERY => Value::TsQuery(search::read_query(wire.rest())?),
        Type::TS_VECTOR => Value::TsVector(search::read_vector(wire.rest(), space.left())?),
        Type::PG_LSN => Value::PgLsn(wire.u64()?),
        Type::PG_SNAPSHOT | Type::TXID_SNAPSHOT => Value::PgSnapshot(snapshot(&mut wire)?),
        _ => shape_or_time(ty, &mut wire, locale, space)?,
    };
    wire.end()?;
    space.take(weight::beside(&value))?;
    Ok(value)
}

fn shape_or_time(
    ty: &Type,
    wire: &mut Wire<'_>,
    locale: Locale,
    space: &mut Space,
) -> Result<Value, Unread> {
    Ok(match *ty {
        Type::BOX => {
            let (high, low) = geometry::read_pair(wire)?;
            Value::Box((low, high))
        }
        Type::CIRCLE => Value::Circle(geometry::read_circle(wire)?),
        Type::LINE => Value::Line(geometry::read_line(wire)?),
        Type::LSEG => Value::Lseg(geometry::read_pair(wire)?),
        Type::PATH => {
            wire.u8()?;
            Value::Path(geometry::read_points(wire)?)
        }
        Type::POINT => Value::Point(geometry::read_point(wire)?),
        Type::POLYGON => Value::Polygon(geometry::read_points(wire)?),
        Type::DATE => Value::Date(calendar::read_date(wire.i32()?)?),
        Type::TIME => Value::Time(calendar::read_time(wire.i64()?)?),
        Type::TIMETZ => Value::TimeTz(calendar::read_time_tz(wire)?),
        Type::TIMESTAMP => Value::Timestamp(calendar::read_timestamp(wire.i64()?)?),
        Type::TIMESTAMPTZ => Value::TimestampTz(calendar::read_timestamp_tz(wire.i64()?)?),
        Type::INTERVAL => Value::Text(calendar::read_interval(wire)?),
        Type::DATE_RANGE => Value::Interval(calendar::read_days(wire)?),
        _ => return other(ty, wire, locale, space),
    })
}

/// What is known by its kind or its name.
fn other(
    ty: &Type,
    wire: &mut Wire<'_>,
    locale: Locale,
    space: &mut Space,
) -> Result<Value, Unread> {
    match ty.kind() {
        Kind::Enum(_) => Ok(Value::Text(utf8(wire.rest())?)),
        Kind::Range(element) => range(element, wire, locale, space).map(Value::Text),
        _ => match ty.name() {
            "citext" => Ok(Value::Text(utf8(wire.rest())?)),
            "hstore" => Ok(Value::Hstore(hstore(wire)?)),
            _ => Err(Unread::of(
                "no value of the interface holds it; cast it to text",
            )),
        },
    }
}

/// A range as the server writes it.
fn range(
    element: &Type,
    wire: &mut Wire<'_>,
    locale: Locale,
    space: &mut Space,
) -> Result<String, Unread> {
    const EMPTY: u8 = 1;
    let textless = || Unread::of("its bounds have no text; cast it to text");
    // A server may say that ranges are of ranges, and these of others, without end.
    if matches!(base(element).kind(), Kind::Range(_) | Kind::Array(_)) {
        return Err(textless());
    }
    let flags = wire.u8()?;
    if flags & EMPTY != 0 {
        return Ok("empty".to_owned());
    }
    let mut bound = |open: u8| -> Result<String, Unread> {
        if flags & open != 0 {
            return Ok(String::new());
        }
        let raw = wire.sized()?.ok_or(Damaged)?;
        let one = to_server::shape(&decode(element, raw, locale, space)?).map_err(Unread)?;
        let plain = match one {
            to_server::Shape::One(plain) => plain,
            to_server::Shape::Money(amounts, _) => amounts.concat(),
            to_server::Shape::Bytes(bytes) => utf8(&bytes)?,
            _ => return Err(textless()),
        };
        let simple =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '+');
        if !plain.is_empty() && plain.chars().all(simple) {
            return Ok(plain);
        }
        let mut quoted = String::new();
        text::quoted(&mut quoted, &plain);
        Ok(quoted)
    };
    let (low, high) = (bound(8)?, bound(16)?);
    let open = if flags & 2 != 0 { '[' } else { '(' };
    let close = if flags & 4 != 0 { ']' } else { ')' };
    Ok(format!("{open}{low},{high}{close}"))
}

fn shorts(raw: &[u8]) -> Result<Vec<i16>, Unread> {
    let items = array::elements(raw)?;
    items
        .map(|raw| -> Result<i16, Unread> { Ok(Wire::new(raw?).i16()?) })
        .collect()
}

fn bits(wire: &mut Wire<'_>) -> Result<(u32, Vec<u8>), Damaged> {
    let length = u32::try_from(wire.i32()?).map_err(|_| Damaged)?;
    Ok((length, wire.rest().to_vec()))
}

/// A text behind the version of its format.
fn versioned(wire: &mut Wire<'_>) -> Result<String, Damaged> {
    match wire.u8()? {
        1 => utf8(wire.rest()),
        _ => Err(Damaged),
    }
}

/// An address; with its network, unless that is the address alone. A network always has its length.
fn network(wire: &mut Wire<'_>) -> Result<String, Damaged> {
    let (family, length, is_network) = (wire.u8()?, wire.u8()?, wire.u8()? != 0);
    let address = wire.u8()?;
    let (address, whole) = match (family, address) {
        (2, 4) => (std::net::IpAddr::from(wire.u32()?.to_be_bytes()), 32),
        (3, 16) => {
            let bytes: [u8; 16] = wire.take(16)?.try_into().map_err(|_| Damaged)?;
            (std::net::IpAddr::from(bytes), 128)
        }
        _ => return Err(Damaged),
    };
    Ok(match is_network || length != whole {
        true => format!("{address}/{length}"),
        false => address.to_string(),
    })
}

fn mac48(wire: &mut Wire<'_>) -> Result<Mac48, Damaged> {
    match wire.take(6)? {
        &[a, b, c, d, e, f] => Ok(Mac48 {
            bytes: (a, b, c, d, e, f),
        }),
        _ => Err(Damaged),
    }
}

fn mac64(wire: &mut Wire<'_>) -> Result<Mac64, Damaged> {
    match wire.take(8)? {
        &[a, b, c, d, e, f, g, h] => Ok(Mac64 {
            bytes: (a, b, c, d, e, f, g, h),
        }),
        _ => Err(Damaged),
    }
}

fn uuid(wire: &mut Wire<'_>) -> Result<String, Damaged> {
    let (a, b, c, d) = (wire.u32()?, wire.u16()?, wire.u16()?, wire.u16()?);
    let (e, f) = (wire.u16()?, wire.u32()?);
    Ok(format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:04x}{f:08x}"))
}

fn snapshot(wire: &mut Wire<'_>) -> Result<(i64, i64, Vec<i64>), Damaged> {
    let count = wire.length()?;
    let (least, next) = (wire.i64()?, wire.i64()?);
    let running = (0..count).map(|_| wire.i64()).collect::<Result<_, _>>()?;
    Ok((least, next, running))
}

fn hstore(wire: &mut Wire<'_>) -> Result<Vec<(String, Option<String>)>, Damaged> {
    let mut pairs = Vec::new();
    for _ in 0..wire.length()? {
        let key = utf8(wire.sized()?.ok_or(Damaged)?)?;
        let value = wire.sized()?.map(utf8).transpose()?;
        pairs.push((key, value));
    }
    Ok(pairs)
}
