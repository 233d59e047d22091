//! What an address is: private, or inside a range. Text that is no address gives null.

use std::net::IpAddr;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::types::{NativeType, logical_int64, logical_string};
use datafusion::error::Result;
use datafusion::logical_expr::{Coercion, Signature, TypeSignature, TypeSignatureClass, Volatility};
use ipnet::IpNet;

use super::{Description, Function};

pub(super) fn functions() -> Vec<Function> {
    let text = |count| Signature::string(count, Volatility::Immutable);
    vec![
        Function {
            description: Description {
                name: "ip_is_private",
                arguments: "address",
                about: "Whether an address is not of the public internet: private (RFC 1918, fc00::/7), carrier-grade NAT \
                        (100.64.0.0/10), loopback or link-local; an IPv4 address inside IPv6 is judged as IPv4. Text that is no \
                        address gives null.",
            },
            signature: text(1),
            returns: DataType::Boolean,
            body: |arrays| {
                let addresses = as_text(&arrays[0])?;
                Ok(Arc::new(addresses.iter().map(|a| address(a?).map(is_private)).collect::<BooleanArray>()))
            },
        },
        Function {
            description: Description {
                name: "ip_in_cidr",
                arguments: "address, range",
                about: "Whether an address lies in a range like '10.0.0.0/8' or '2001:db8::/32', or equals a single address. \
                        Addresses of the other family lie outside. Text that is no address or no range gives null.",
            },
            signature: text(2),
            returns: DataType::Boolean,
            body: ip_in_cidr,
        },
        Function {
            description: Description {
                name: "ip_network",
                arguments: "address [, bits]",
                about: "The network of an address as canonical text like '10.1.2.0/24': of so many bits, else 24 of IPv4 and 48 \
                        of IPv6. Text that is no address, and more bits than its family has, give null.",
            },
            signature: Signature::one_of(
                vec![
                    TypeSignature::String(1),
                    TypeSignature::Coercible(vec![
                        Coercion::new_exact(TypeSignatureClass::Native(logical_string())),
                        Coercion::new_implicit(
                            TypeSignatureClass::Native(logical_int64()),
                            vec![TypeSignatureClass::Integer],
                            NativeType::Int64,
                        ),
                    ]),
                ],
                Volatility::Immutable,
            ),
            returns: DataType::Utf8,
            body: ip_network,
        },
    ]
}

fn as_text(array: &ArrayRef) -> Result<StringArray> {
    Ok(cast(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn range(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse::<IpNet>().ok().or_else(|| address(text).map(IpNet::from))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let carrier_nat = v4.octets()[0] == 100 && v4.octets()[1] & 0b1100_0000 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || carrier_nat
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn ip_in_cidr(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let (addresses, ranges) = (as_text(&arrays[0])?, as_text(&arrays[1])?);
    // A range is nearly always the same on every row: it is read once.
    let mut last: (Option<&str>, Option<IpNet>) = (None, None);
    let mut answers = BooleanArray::builder(addresses.len());
    for (address_text, range_text) in addresses.iter().zip(&ranges) {
        if last.0 != range_text {
            last = (range_text, range_text.and_then(range));
        }
        let ip = address_text.and_then(address);
        answers.append_option(last.1.zip(ip).map(|(net, ip)| net.contains(&ip)));
    }
    Ok(Arc::new(answers.finish()))
}

fn ip_network(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let addresses = as_text(&arrays[0])?;
    let bits = arrays.get(1).map(|bits| cast(bits, &DataType::Int64)).transpose()?;
    let networks = (0..addresses.len()).map(|row| {
        let ip = addresses.is_valid(row).then(|| addresses.value(row)).and_then(address)?;
        let length = match &bits {
            None if ip.is_ipv4() => 24,
            None => 48,
            Some(bits) if bits.is_null(row) => return None,
            Some(bits) => u8::try_from(bits.as_primitive::<Int64Type>().value(row)).ok()?,
        };
        Some(IpNet::new(ip, length).ok()?.trunc().to_string())
    });
    Ok(Arc::new(networks.collect::<StringArray>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_those_off_the_internet() {
        for (text, expected) in [
            ("10.0.0.1", Some(true)),
            ("172.31.255.255", Some(true)),
            ("172.32.0.0", Some(false)),
            ("192.168.0.1", Some(true)),
            ("100.64.0.1", Some(true)),
            ("100.128.0.1", Some(false)),
            ("127.0.0.1", Some(true)),
            ("169.254.1.1", Some(true)),
            ("20.50.1.1", Some(false)),
            ("::1", Some(true)),
            ("fd00::1", Some(true)),
            ("fe80::1", Some(true)),
            ("2001:db8::1", Some(false)),
            ("::ffff:10.0.0.1", Some(true)),
            ("10.0.0.1:443", None),
            ("", None),
        ] {
            assert_eq!(address(text).map(is_private), expected, "{text}");
        }
    }

    #[test]
    fn ranges_hold_their_own_family() {
        let cases = [
            ("10.1.2.3", "10.0.0.0/8", Some(true)),
            ("11.1.2.3", "10.0.0.0/8", Some(false)),
            ("11.1.2.3", "11.1.2.3", Some(true)),
            ("2001:db8::1", "2001:db8::/32", Some(true)),
            ("2001:db8::1", "10.0.0.0/8", Some(false)),
            ("::ffff:10.0.0.1", "10.0.0.0/8", Some(true)),
            ("x", "10.0.0.0/8", None),
            ("10.0.0.1", "10.0.0.0/33", None),
        ];
        let column = |f: fn(&(&'static str, &'static str, Option<bool>)) -> &'static str| -> ArrayRef {
            Arc::new(cases.iter().map(|c| Some(f(c))).collect::<StringArray>())
        };
        let answers = ip_in_cidr(&[column(|c| c.0), column(|c| c.1)]).unwrap();
        let answers: Vec<_> = answers.as_boolean().iter().collect();
        assert_eq!(answers, cases.map(|c| c.2));
    }
}
