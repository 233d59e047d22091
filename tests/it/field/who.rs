//! Who called and when: identities, absent values, times.
