//! The meaning of money, quantities, tariffs, bundles and charges: pure.
