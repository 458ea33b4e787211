//! Values of every type come back as they were; what does not fit is told.

use std::collections::BTreeSet;

use super::*;
use crate::capability::postgres::convert::{Locale, Space, decode};
use crate::capability::postgres::value::{
    Date, Days, Float, Lexeme, LexemeWeight, Mac48, Mac64, Offset, Point, Time, TimeTz, Timestamp,
    TimestampTz, Value as V,
};

const HALF: Float = (4_503_599_627_370_496, -53, 1);
const MINUS_TWO: Float = (4_503_599_627_370_496, -51, -1);
const NOTHING: Float = (0, -1075, 1);
const INFINITE: Float = (4_503_599_627_370_496, 972, 1);
const NO_NUMBER: Float = (6_755_399_441_055_744, 972, 1);
const SINGLE_HALF: Float = (8_388_608, -24, 1);
const SINGLE_MINUS_TWO: Float = (8_388_608, -22, -1);
const AT: Point = (HALF, MINUS_TWO);
const ORIGIN: Point = (NOTHING, NOTHING);

fn s(text: &str) -> String {
    text.to_owned()
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn day(year: i32, month: u32, day: u32) -> Date {
    Date::Ymd((year, month, day))
}

fn time(hour: u32, min: u32, sec: u32, micro: u32) -> Time {
    Time {
        hour,
        min,
        sec,
        micro,
    }
}

fn days(start: Date, end: Date) -> Days {
    Days {
        start,
        start_inclusive: start != Date::NegativeInfinity,
        end,
        end_inclusive: false,
    }
}

fn zoned(zone: &str) -> TimeTz {
    TimeTz {
        zone: s(zone),
        time: time(1, 2, 3, 40),
    }
}

fn at(date: Date) -> Timestamp {
    let time = match date {
        Date::Ymd(_) => time(23, 59, 59, 999_999),
        _ => time(0, 0, 0, 0),
    };
    Timestamp { date, time }
}

fn utc(date: Date) -> TimestampTz {
    TimestampTz {
        timestamp: at(date),
        offset: Offset::West(0),
    }
}

fn word(data: &str, position: Option<u16>, weight: Option<LexemeWeight>) -> Lexeme {
    Lexeme {
        position,
        weight,
        data: s(data),
    }
}

fn numbers() -> Vec<(&'static str, V)> {
    vec![
        ("int8", V::Int8(i64::MIN)),
        ("int8[]", V::Int8Array(vec![i64::MAX, -1])),
        ("bool", V::Bool(true)),
        ("bool[]", V::BoolArray(vec![true, false])),
        ("float8", V::Float8(MINUS_TWO)),
        ("float8", V::Float8(INFINITE)),
        ("float8", V::Float8(NO_NUMBER)),
        ("float8[]", V::Float8Array(vec![HALF, NOTHING])),
        ("float4", V::Float4(SINGLE_HALF)),
        ("float4[]", V::Float4Array(vec![SINGLE_MINUS_TWO])),
        ("int4", V::Int4(i32::MIN)),
        ("int4[]", V::Int4Array(vec![])),
        ("numeric", V::Numeric(s("-12345678901234567890.000012340"))),
        ("numeric", V::Numeric(s("0.0001"))),
        ("numeric", V::Numeric(s("10000"))),
        ("numeric", V::Numeric(s("0.00"))),
        ("numeric", V::Numeric(s("NaN"))),
        ("numeric", V::Numeric(s("-Infinity"))),
        ("numeric[]", V::NumericArray(vec![s("1.50"), s("99999999")])),
        ("int2", V::Int2(-7)),
        ("int2[]", V::Int2Array(vec![i16::MIN, i16::MAX])),
        ("int2vector", V::Int2Vector(vec![1, -2, 3])),
        (
            "int2vector[]",
            V::Int2VectorArray(vec![vec![1, 2], vec![3]]),
        ),
        ("money", V::Money(s("-1234.05"))),
        ("money[]", V::MoneyArray(vec![s("0.01"), s("70.00")])),
        ("pg_lsn", V::PgLsn(0x16_B374_D848)),
        ("pg_lsn[]", V::PgLsnArray(vec![0, u64::MAX])),
        ("pg_snapshot", V::PgSnapshot((10, 20, vec![10, 14, 15]))),
        ("txid_snapshot", V::PgSnapshot((10, 20, vec![]))),
        ("xid8", V::TxidSnapshot(i64::MAX)),
    ]
}

fn texts() -> Vec<(&'static str, V)> {
    let odd = "\"a\\b\", {NULL} 'ü'\n;";
    vec![
        ("bit(10)", V::Bit((10, vec![0b1010_0000, 0b0100_0000]))),
        ("bit(3)[]", V::BitArray(vec![(3, vec![0b0110_0000])])),
        ("varbit", V::BitVarying((Some(9), vec![0xFF, 0x80]))),
        ("varbit", V::BitVarying((Some(0), vec![]))),
        (
            "varbit[]",
            V::VarbitArray(vec![(Some(1), vec![0x80]), (Some(0), vec![])]),
        ),
        ("bytea", V::Bytea((0..=255).collect())),
        ("bytea[]", V::ByteaArray(vec![vec![], vec![0, 255, 92]])),
        ("char(3)", V::Char((3, bytes("a  ")))),
        ("\"char\"", V::Char((1, vec![0xE4]))),
        ("char(2)[]", V::CharArray(vec![(2, bytes("xy"))])),
        ("varchar", V::Varchar((None, bytes(odd)))),
        (
            "varchar[]",
            V::VarcharArray(vec![(None, bytes("")), (None, bytes(odd))]),
        ),
        ("name", V::Name(s("pg_class"))),
        ("name[]", V::NameArray(vec![s("a"), s("b")])),
        ("text", V::Text(s(odd))),
        ("text", V::Text(s(""))),
        ("text[]", V::TextArray(vec![s(""), s("NULL"), s(odd)])),
        ("xml", V::Xml(s("<a b=\"c\">d</a>"))),
        ("xml[]", V::XmlArray(vec![s("<a/>"), s("<b/>")])),
        (
            "json",
            V::Json(s("{\"b\": 1,  \"a\": 12345678901234567890.5}")),
        ),
        ("json[]", V::JsonArray(vec![s("1"), s("\"a, \\\\ b\"")])),
        ("jsonb", V::Jsonb(s("{\"a\": [1, null], \"b\": \"ü\"}"))),
        ("jsonb[]", V::JsonbArray(vec![s("{}"), s("[1, 2]")])),
        ("uuid", V::Uuid(s("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"))),
        (
            "uuid[]",
            V::UuidArray(vec![s("00000000-0000-0000-0000-00000000000f")]),
        ),
        ("cidr", V::Cidr(s("10.1.0.0/16"))),
        (
            "cidr[]",
            V::CidrArray(vec![s("10.0.0.1/32"), s("2001:db8::/32")]),
        ),
        ("inet", V::Inet(s("192.0.2.1"))),
        ("inet", V::Inet(s("192.0.2.1/24"))),
        ("inet[]", V::InetArray(vec![s("::1"), s("2001:db8::1/64")])),
        (
            "tsquery",
            V::TsQuery(s("( 'fat':AB & !( 'ra''t':* | 'cat' ) )")),
        ),
        ("tsquery", V::TsQuery(s("( 'a' <-> ( 'b' <2> 'c' ) )"))),
        (
            "tsvector",
            V::TsVector(vec![
                word("a'b\\", None, None),
                word("fat", Some(1), Some(LexemeWeight::A)),
                word("fat", Some(5), Some(LexemeWeight::D)),
                word("rat", Some(16383), Some(LexemeWeight::C)),
            ]),
        ),
        (
            "hstore",
            V::Hstore(vec![
                (s("\\"), Some(s(""))),
                (s("k"), None),
                (s("a\"b"), Some(s("1 => 2"))),
            ]),
        ),
    ]
}

fn shapes_and_times() -> Vec<(&'static str, V)> {
    let mac48 = Mac48 {
        bytes: (8, 0, 43, 1, 2, 255),
    };
    let mac64 = Mac64 {
        bytes: (8, 0, 43, 1, 2, 3, 4, 255),
    };
    let low = (MINUS_TWO, MINUS_TWO);
    let line = (ORIGIN, ((4_503_599_627_370_496, -52, 1), HALF));
    let far = day(5_874_897, 12, 31);
    let (early, late) = (day(-4712, 1, 1), day(2024, 2, 29));
    vec![
        ("macaddr", V::Macaddr(mac48)),
        ("macaddr[]", V::MacaddrArray(vec![mac48])),
        ("macaddr8", V::Macaddr8(mac64)),
        ("macaddr8[]", V::Macaddr8Array(vec![mac64, mac64])),
        ("box", V::Box((low, ORIGIN))),
        ("box[]", V::BoxArray(vec![(low, ORIGIN), (low, low)])),
        ("circle", V::Circle((AT, HALF))),
        ("circle[]", V::CircleArray(vec![(ORIGIN, NOTHING)])),
        ("line", V::Line(line)),
        ("line[]", V::LineArray(vec![line, line])),
        ("lseg", V::Lseg((AT, ORIGIN))),
        ("lseg[]", V::LsegArray(vec![(AT, low)])),
        ("path", V::Path(vec![AT, ORIGIN, low])),
        ("path[]", V::PathArray(vec![vec![AT], vec![ORIGIN, low]])),
        ("point", V::Point(AT)),
        ("point[]", V::PointArray(vec![AT, ORIGIN])),
        ("polygon", V::Polygon(vec![AT, ORIGIN, low])),
        ("polygon[]", V::PolygonArray(vec![vec![AT, low, ORIGIN]])),
        ("date", V::Date(early)),
        ("date", V::Date(far)),
        ("date", V::Date(Date::PositiveInfinity)),
        (
            "date[]",
            V::DateArray(vec![late, Date::NegativeInfinity, day(0, 12, 31)]),
        ),
        ("daterange", V::Interval(days(day(2024, 1, 1), late))),
        ("daterange", V::Interval(days(Date::NegativeInfinity, late))),
        (
            "daterange[]",
            V::IntervalArray(vec![days(early, Date::PositiveInfinity)]),
        ),
        ("time", V::Time(time(24, 0, 0, 0))),
        (
            "time[]",
            V::TimeArray(vec![time(0, 0, 0, 1), time(23, 59, 59, 999_999)]),
        ),
        ("timetz", V::TimeTz(zoned("+05:30"))),
        (
            "timetz[]",
            V::TimeTzArray(vec![zoned("-04:00"), zoned("+00:00:30")]),
        ),
        ("timestamp", V::Timestamp(at(late))),
        ("timestamp", V::Timestamp(at(day(-43, 3, 15)))),
        (
            "timestamp[]",
            V::TimestampArray(vec![at(Date::PositiveInfinity), at(day(1, 1, 1))]),
        ),
        ("timestamptz", V::TimestampTz(utc(late))),
        ("timestamptz", V::TimestampTz(utc(Date::NegativeInfinity))),
        (
            "timestamptz[]",
            V::TimestampTzArray(vec![utc(day(1969, 12, 31))]),
        ),
    ]
}

/// Other names for values, with the one that they come back by.
fn synonyms() -> Vec<(&'static str, V, V)> {
    vec![
        ("int8", V::Null, V::Null),
        ("int8", V::BigInt(1), V::Int8(1)),
        ("int8", V::BigSerial(2), V::Int8(2)),
        ("int8", V::Serial8(3), V::Int8(3)),
        ("bool", V::Boolean(false), V::Bool(false)),
        ("float8", V::Double(HALF), V::Float8(HALF)),
        ("float4", V::Real(SINGLE_HALF), V::Float4(SINGLE_HALF)),
        ("int4", V::Integer(1), V::Int4(1)),
        ("int4", V::Int(2), V::Int4(2)),
        ("int4", V::Serial(3), V::Int4(3)),
        ("int4", V::Serial4(4), V::Int4(4)),
        ("numeric", V::Decimal(s("1.0")), V::Numeric(s("1.0"))),
        ("int2", V::SmallInt(1), V::Int2(1)),
        ("int2", V::SmallSerial(2), V::Int2(2)),
        ("int2", V::Serial2(3), V::Int2(3)),
        (
            "varbit",
            V::Varbit((None, vec![1])),
            V::BitVarying((Some(8), vec![1])),
        ),
        // A number where there is room for it, and a text wherever the server reads one.
        ("int8", V::Int2(5), V::Int8(5)),
        ("numeric", V::Int8(5), V::Numeric(s("5"))),
        ("oid", V::Int8(4_000_000_000), V::Int8(4_000_000_000)),
        ("money", V::Numeric(s("2.5")), V::Money(s("2.50"))),
        ("int4", text("42"), V::Int4(42)),
        ("date", text("2024-02-29"), V::Date(day(2024, 2, 29))),
        (
            "interval",
            text("1 year 2 mons -3 days 04:05:06.789"),
            text("1 year 2 mons -3 days 04:05:06.789"),
        ),
        ("interval", text("-1 sec"), text("-00:00:01")),
        ("int4range", text("[1,5)"), text("[1,5)")),
        ("numrange", text("(,2.5]"), text("(,2.5]")),
        ("int8range", text("empty"), text("empty")),
        (
            "tsrange",
            text("[2024-01-01,)"),
            text("[\"2024-01-01 00:00:00.000000\",)"),
        ),
        ("mood", text("so-so"), text("so-so")),
        (
            "mood[]",
            V::TextArray(vec![s("sad")]),
            V::TextArray(vec![s("sad")]),
        ),
        ("positive", V::Int4(7), V::Int4(7)),
        ("citext", text("Ann"), text("Ann")),
        ("jsonpath", text("$.\"a\""), text("$.\"a\"")),
        ("varchar", text("x"), V::Varchar((None, bytes("x")))),
        ("text", V::Varchar((Some(9), bytes("x"))), text("x")),
        // The clock of another place, and the same moment.
        (
            "timestamptz",
            V::TimestampTz(TimestampTz {
                timestamp: at(day(2024, 12, 31)),
                offset: Offset::West(5 * 3600),
            }),
            V::TimestampTz(TimestampTz {
                timestamp: Timestamp {
                    date: day(2025, 1, 1),
                    time: time(4, 59, 59, 999_999),
                },
                offset: Offset::West(0),
            }),
        ),
    ]
}

/// The names of the cases, as the interface has them.
fn cases() -> BTreeSet<&'static str> {
    let wit = include_str!("../../../../wit/postgres/p3/postgres.wit");
    let (_, variant) = wit.split_once("variant pg-value {").unwrap();
    let (variant, _) = variant.split_once("\n  }").unwrap();
    let lines = variant.lines().map(str::trim);
    let cases = lines.filter(|line| !line.is_empty() && !line.starts_with("///"));
    cases
        .map(|line| {
            line.split(['(', ','])
                .next()
                .unwrap()
                .trim_start_matches('%')
        })
        .collect()
}

#[tokio::test]
async fn every_value_comes_back_as_it_was() {
    let postgres = Postgres::start();
    postgres.sql("notes", "CREATE EXTENSION hstore; CREATE EXTENSION citext");
    let database = open(&postgres.url("notes"), How::default());
    batch(
        &database,
        "CREATE TYPE mood AS ENUM ('sad', 'so-so'); CREATE DOMAIN positive AS int4 CHECK (value > 0)",
    )
    .await
    .unwrap();
    let same = [numbers(), texts(), shapes_and_times()]
        .concat()
        .into_iter();
    let all = same.map(|(ty, value)| (ty, value.clone(), value));
    let mut seen = BTreeSet::new();
    for (ty, sent, wanted) in all.chain(synonyms()) {
        let came = one(
            &database,
            &format!("SELECT $1::{ty}"),
            std::slice::from_ref(&sent),
        )
        .await;
        assert_eq!(came, Ok(wanted), "{ty} of {}", sent.case());
        seen.insert(sent.case());
    }
    assert_eq!(cases().len(), 97);
    let missing: Vec<_> = cases().difference(&seen).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_its_place_and_type() {
    let postgres = Postgres::start();
    let database = open(&postgres.url("notes"), How::default());
    let told = |fault: Fault| match fault {
        Fault::Params(told) | Fault::Conversion(told) => told,
        other => panic!("{other:?}"),
    };
    let mut all = Vec::new();
    for (sql, value) in [
        ("SELECT 1, $1::int4", V::Bool(true)),
        ("SELECT $1::int4[]", V::Int4(1)),
        ("SELECT $1::bit(8)", V::Bit((8, vec![1, 2]))),
        ("SELECT $1::date", V::Date(day(2023, 2, 29))),
        ("SELECT $1::text", V::Varchar((None, vec![0xFF]))),
        ("SELECT $1::money", V::Money(s("secret"))),
        (
            "SELECT $1::tsvector",
            V::TsVector(vec![word("secret", Some(0), None)]),
        ),
        ("SELECT '{1,NULL}'::int4[] AS some WHERE $1", V::Bool(true)),
        ("SELECT '{{1},{2}}'::int4[] AS some WHERE $1", V::Bool(true)),
        ("SELECT 'empty'::daterange AS none WHERE $1", V::Bool(true)),
        ("SELECT row(1, 2) AS pair WHERE $1", V::Bool(true)),
        (
            "SELECT '{[1,2)}'::int4multirange AS many WHERE $1",
            V::Bool(true),
        ),
    ] {
        all.push(told(rows(&database, sql, &[value]).await.unwrap_err()));
    }
    insta::assert_snapshot!(all.join("\n"), @r"
    parameter $1: `bool` does not fit the type `int4`
    parameter $1: `int4` does not fit the type `_int4`
    parameter $1: 8 bits are said to be in 2 bytes
    parameter $1: there is no day 29 in the month 2 of the year 2023
    parameter $1: a text is not UTF-8
    parameter $1: an amount of money is no number with at most 2 digits after its point
    parameter $1: a word has a position that is not from 1 to 16383
    column 1 `some` of type `_int4`: there is NULL in it, and a list has none
    column 1 `some` of type `_int4`: it has several dimensions, and a list has one
    column 1 `none` of type `daterange`: a range without days has neither start nor end
    column 1 `pair` of type `record`: no value of the interface holds it; cast it to text
    column 1 `many` of type `int4multirange`: no value of the interface holds it; cast it to text
    ");
    assert!(!all.concat().contains("secret"));
    // Nothing of it has cost a connection.
    assert_eq!(one(&database, "SELECT 1", &[]).await, Ok(V::Int4(1)));
    let number = code(rows(&database, "SELECT $1::int2", &[V::Int4(100_000)]).await);
    assert_eq!(number, "22003");
    let json = code(rows(&database, "SELECT $1::json", &[V::Json(s("{"))]).await);
    assert_eq!(json, "22P02");
    let none = rows(&database, "SELECT pg_sleep(0), NULL::int4multirange", &[]).await;
    assert_eq!(none, Ok(vec![vec![V::Null, V::Null]]));
}

/// Whatever bytes a server sends for whatever type: there is a value or an error.
#[test]
fn damaged_values_are_errors() {
    use tokio_postgres::types::Type;
    let decoded =
        |ty: &Type, raw: &[u8]| decode(ty, raw, Locale::default(), &mut Space::of(1 << 20));
    let types = (16..=6157).filter_map(Type::from_oid);
    let mut random = fastrand::Rng::with_seed(7);
    let mut count = 0;
    for ty in types {
        count += 1;
        for length in 0..64 {
            let mut raw: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
                .take(length)
                .collect();
            let _ = decoded(&ty, &raw);
            // Short numbers in front look like lengths.
            for byte in raw.iter_mut().take(20) {
                *byte = random.u8(0..3);
            }
            let _ = decoded(&ty, &raw);
        }
    }
    assert!(count > 150, "{count}");
}

/// What has few bytes on its way may have many here: a number with its exponent, a word of a document with its places.
#[test]
fn what_would_grow_beyond_its_row_is_refused() {
    use tokio_postgres::types::{Kind, Type};
    let decoded =
        |ty: &Type, raw: &[u8]| decode(ty, raw, Locale::default(), &mut Space::of(1 << 20));
    let too_large = |ty: &Type, raw: &[u8]| {
        let told = decoded(ty, raw).unwrap_err().0;
        assert!(told.contains("more memory than this host gives"), "{told}");
    };
    // A one with 131068 zeros behind it.
    let number = [1_u16, 32_767, 0, 0, 1].map(u16::to_be_bytes).concat();
    let Ok(V::Numeric(digits)) = decoded(&Type::NUMERIC, &number) else {
        panic!("there is room for one")
    };
    assert_eq!(digits.len(), 131_069);
    let element = [&10_i32.to_be_bytes()[..], &number[..]].concat();
    let begin = [1_i32, 0, 1700, 1000, 1].map(i32::to_be_bytes).concat();
    too_large(
        &Type::NUMERIC_ARRAY,
        &[begin, element.repeat(1000)].concat(),
    );
    let begin = [1_i32, 0, 25, 100_000, 1].map(i32::to_be_bytes).concat();
    let empty = 0_i32.to_be_bytes().repeat(100_000);
    too_large(&Type::TEXT_ARRAY, &[begin, empty].concat());
    let word = [&1_i32.to_be_bytes()[..], &[b'w'; 1000], &[0]].concat();
    let places = [&10_000_u16.to_be_bytes()[..], &[0_u8, 1].repeat(10_000)[..]].concat();
    too_large(&Type::TS_VECTOR, &[word, places].concat());
    // Of what is made of itself, nothing is read.
    let range = |of: Type| Type::new("r".to_owned(), 100_000, Kind::Range(of), "s".to_owned());
    let told = decoded(&range(range(Type::INT4)), &[0; 100]).unwrap_err().0;
    assert!(told.contains("its bounds have no text"), "{told}");
    let array = Type::new(
        "a".to_owned(),
        100_001,
        Kind::Array(Type::INT4_ARRAY),
        "s".to_owned(),
    );
    let begin = [1_i32, 0, 1007, 1, 1, 0].map(i32::to_be_bytes).concat();
    let told = decoded(&array, &begin).unwrap_err().0;
    assert!(told.contains("no list holds its elements"), "{told}");
}
