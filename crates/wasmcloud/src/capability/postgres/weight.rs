//! How many bytes values take in memory.

use super::value::{
    Date, Days, Float, Lexeme, Mac48, Mac64, Point, Time, TimeTz, Timestamp, TimestampTz, Value,
};

/// Something that may have bytes elsewhere.
trait Weigh {
    fn weight(&self) -> usize;
}

/// These have none.
macro_rules! flat {
    ($($of:ty),*) => {
        $(impl Weigh for $of {
            fn weight(&self) -> usize {
                0
            }
        })*
    };
}

flat!(
    u8,
    u32,
    i16,
    i32,
    i64,
    u64,
    bool,
    Float,
    Point,
    Date,
    Days,
    Mac48,
    Mac64,
    Time,
    Timestamp,
    TimestampTz,
    (Point, Point),
    (Point, Float)
);

impl Weigh for String {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn weight(&self) -> usize {
        let within: usize = self.iter().map(T::weight).sum();
        within + self.len() * size_of::<T>()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, T::weight)
    }
}

/// A length and bytes, or a key and its value.
impl<A: Weigh, B: Weigh> Weigh for (A, Vec<B>) {
    fn weight(&self) -> usize {
        self.0.weight() + self.1.weight()
    }
}

impl Weigh for (String, Option<String>) {
    fn weight(&self) -> usize {
        self.0.weight() + self.1.weight()
    }
}

impl Weigh for Lexeme {
    fn weight(&self) -> usize {
        self.data.weight()
    }
}

impl Weigh for TimeTz {
    fn weight(&self) -> usize {
        self.zone.weight()
    }
}

/// What these parameters take.
pub(super) fn of(params: &[Value]) -> usize {
    let within: usize = params.iter().map(beside).sum();
    within + size_of_val(params)
}

/// What a value takes besides its own record.
pub(super) fn beside(value: &Value) -> usize {
    use Value as V;
    match value {
        V::Numeric(it) | V::Decimal(it) | V::Cidr(it) | V::Inet(it) | V::Json(it) => it.weight(),
        V::Jsonb(it) | V::Money(it) | V::Name(it) | V::Text(it) | V::Xml(it) => it.weight(),
        V::TsQuery(it) | V::Uuid(it) => it.weight(),
        V::Bytea(it) => it.weight(),
        V::Bit(it) | V::Char(it) => it.weight(),
        V::BitVarying(it) | V::Varbit(it) | V::Varchar(it) => it.weight(),
        V::TimeTz(it) => it.weight(),
        V::PgSnapshot((_, _, it)) => it.weight(),
        V::TsVector(it) => it.weight(),
        V::Hstore(it) => it.weight(),
        V::Path(it) | V::Polygon(it) | V::PointArray(it) => it.weight(),
        V::Int2Vector(it) => it.weight(),
        array => array_weight(array),
    }
}

/// That of the arrays; everything else has nothing beside it.
fn array_weight(value: &Value) -> usize {
    use Value as V;
    match value {
        V::NumericArray(it) | V::CidrArray(it) | V::InetArray(it) | V::JsonArray(it) => it.weight(),
        V::JsonbArray(it) | V::MoneyArray(it) | V::NameArray(it) | V::TextArray(it) => it.weight(),
        V::XmlArray(it) | V::UuidArray(it) => it.weight(),
        V::ByteaArray(it) => it.weight(),
        V::BitArray(it) | V::CharArray(it) => it.weight(),
        V::VarbitArray(it) | V::VarcharArray(it) => it.weight(),
        V::Int8Array(it) => it.weight(),
        V::Int4Array(it) => it.weight(),
        V::Int2Array(it) => it.weight(),
        V::Int2VectorArray(it) => it.weight(),
        V::BoolArray(it) => it.weight(),
        V::Float8Array(it) | V::Float4Array(it) => it.weight(),
        V::MacaddrArray(it) => it.weight(),
        V::Macaddr8Array(it) => it.weight(),
        V::BoxArray(it) | V::LineArray(it) | V::LsegArray(it) => it.weight(),
        V::CircleArray(it) => it.weight(),
        V::PathArray(it) | V::PolygonArray(it) => it.weight(),
        V::DateArray(it) => it.weight(),
        V::IntervalArray(it) => it.weight(),
        V::TimeArray(it) => it.weight(),
        V::TimeTzArray(it) => it.weight(),
        V::TimestampArray(it) => it.weight(),
        V::TimestampTzArray(it) => it.weight(),
        V::PgLsnArray(it) => it.weight(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parameter_holds_is_counted_however_deep_it_is() {
        let text = || "x".repeat(1000);
        let large = [
            Value::Text(text()),
            Value::Bytea(vec![0; 1000]),
            Value::Varchar((None, vec![0; 1000])),
            Value::TextArray(vec![text()]),
            Value::ByteaArray(vec![vec![0; 500], vec![0; 500]]),
            Value::Int8Array(vec![0; 125]),
            Value::Hstore(vec![("x".repeat(500), Some("x".repeat(500)))]),
            Value::PathArray(vec![vec![((0, 0, 0), (0, 0, 0)); 40]]),
            Value::TsVector(vec![Lexeme {
                position: None,
                weight: None,
                data: text(),
            }]),
        ];
        for value in large {
            let weight = of(std::slice::from_ref(&value)) - size_of::<Value>();
            assert!((1000..2000).contains(&weight), "{value:?}: {weight}");
        }
        assert_eq!(of(&[Value::Null, Value::Int8(1)]), 2 * size_of::<Value>());
    }
}
