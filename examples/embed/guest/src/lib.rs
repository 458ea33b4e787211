//! Reckons what an order costs. The prices are the program's.

wit_bindgen::generate!({ path: "wit", world: "shop" });

use demo::shop::prices;
use exports::demo::shop::orders::Guest;

struct Orders;

impl Guest for Orders {
    fn total(item: String, count: u32) -> Result<u32, String> {
        let price = prices::price(&item).ok_or_else(|| format!("there is no {item}"))?;
        sum(price, count)
    }
}

export!(Orders);

fn sum(price: u32, count: u32) -> Result<u32, String> {
    price
        .checked_mul(count)
        .ok_or_else(|| "nobody can pay that".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_an_end() {
        assert_eq!(sum(45, 3), Ok(135));
        assert!(sum(u32::MAX, 2).is_err());
    }
}
