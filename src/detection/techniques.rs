//! The MITRE ATT&CK (Enterprise) techniques that a detection over a vault's logs can speak of: those of cloud, identity,
//! credentials, exfiltration and impact. A typo in a header is told from a technique by this list.

/// Technique ids, sorted.
const KNOWN: &[&str] = &[
    "T1005",
    "T1018",
    "T1020",
    "T1021",
    "T1021.007",
    "T1021.008",
    "T1029",
    "T1030",
    "T1033",
    "T1036",
    "T1036.005",
    "T1040",
    "T1041",
    "T1046",
    "T1048",
    "T1059",
    "T1059.009",
    "T1069",
    "T1069.003",
    "T1070",
    "T1071",
    "T1071.001",
    "T1074",
    "T1074.002",
    "T1078",
    "T1078.001",
    "T1078.002",
    "T1078.004",
    "T1082",
    "T1087",
    "T1087.004",
    "T1090",
    "T1090.002",
    "T1090.003",
    "T1098",
    "T1098.001",
    "T1098.003",
    "T1102",
    "T1110",
    "T1110.001",
    "T1110.002",
    "T1110.003",
    "T1110.004",
    "T1119",
    "T1133",
    "T1134",
    "T1136",
    "T1136.003",
    "T1190",
    "T1195",
    "T1199",
    "T1201",
    "T1204",
    "T1212",
    "T1213",
    "T1482",
    "T1484",
    "T1484.002",
    "T1485",
    "T1485.001",
    "T1486",
    "T1489",
    "T1490",
    "T1491",
    "T1495",
    "T1496",
    "T1496.001",
    "T1496.004",
    "T1498",
    "T1498.001",
    "T1499",
    "T1499.002",
    "T1499.003",
    "T1499.004",
    "T1525",
    "T1526",
    "T1528",
    "T1530",
    "T1531",
    "T1535",
    "T1537",
    "T1538",
    "T1539",
    "T1546",
    "T1548",
    "T1548.005",
    "T1550",
    "T1550.001",
    "T1550.004",
    "T1552",
    "T1552.001",
    "T1552.004",
    "T1552.005",
    "T1552.007",
    "T1552.008",
    "T1553",
    "T1553.002",
    "T1553.004",
    "T1555",
    "T1555.006",
    "T1556",
    "T1556.006",
    "T1556.007",
    "T1556.009",
    "T1557",
    "T1560",
    "T1562",
    "T1562.001",
    "T1562.004",
    "T1562.006",
    "T1562.007",
    "T1562.008",
    "T1562.012",
    "T1565",
    "T1565.001",
    "T1567",
    "T1567.002",
    "T1573",
    "T1578",
    "T1578.001",
    "T1578.002",
    "T1578.003",
    "T1578.004",
    "T1578.005",
    "T1580",
    "T1583",
    "T1586",
    "T1586.003",
    "T1588",
    "T1588.004",
    "T1589",
    "T1589.001",
    "T1590",
    "T1592",
    "T1595",
    "T1595.001",
    "T1595.002",
    "T1595.003",
    "T1600",
    "T1600.001",
    "T1606",
    "T1606.002",
    "T1614",
    "T1619",
    "T1621",
    "T1648",
    "T1649",
    "T1651",
    "T1657",
    "T1666",
];

/// Whether an id has the form of a technique (`T1555`, `T1555.006`) and is one that this catalogue knows.
///
/// # Errors
/// What is wrong with it.
pub(super) fn verify(id: &str) -> Result<(), String> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let formed = id.strip_prefix('T').is_some_and(|rest| match rest.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(rest, 4),
    });
    if !formed {
        return Err(format!("'{id}' is no ATT&CK technique: write one like T1555 or T1555.006"));
    }
    KNOWN.binary_search(&id).map(|_| ()).map_err(|_| {
        format!(
            "'{id}' is no ATT&CK technique known here: see attack.mitre.org, and add it to techniques.rs if it is real"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_techniques_pass_and_typos_do_not() {
        assert!(KNOWN.is_sorted());
        for good in ["T1555.006", "T1078", "T1499"] {
            assert_eq!(verify(good), Ok(()));
        }
        for bad in ["T155", "T1555.6", "t1555", "T9999", "Initial Access", "T1555.099"] {
            assert!(verify(bad).is_err(), "{bad}");
        }
    }
}
