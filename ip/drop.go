package ip

// Drop says why a packet was not delivered. Every packet handed to this package either goes on or comes back with one
// reason, so that packets in == packets delivered + sum of the reasons.
type Drop uint8

// The reasons, in the order in which a packet meets them.
const (
	DropNone Drop = iota

	DropEmpty
	DropVersion

	DropIPv4HeaderShort
	DropIPv4HeaderLength
	DropIPv4Truncated
	DropIPv4Checksum
	DropIPv4Options
	DropIPv4SourceRoute
	DropIPv4TTL

	DropIPv6HeaderShort
	DropIPv6Truncated
	DropIPv6HopLimit
	DropIPv6Jumbogram
	DropIPv6ExtensionTruncated
	DropIPv6ExtensionChain
	DropIPv6ExtensionOrder
	DropIPv6Option
	DropIPv6Routing

	DropMartianMapped
	DropMartianSourceUnspecified
	DropMartianSourceLoopback
	DropMartianSourceMulticast
	DropMartianSourceReserved
	DropMartianDestinationUnspecified
	DropMartianDestinationLoopback
	DropMartianDestinationMulticast
	DropMartianDestinationReserved
	DropMartianLand

	DropFragmentEmpty
	DropFragmentLength
	DropFragmentTooLong
	DropFragmentTiny
	DropFragmentDuplicate
	DropFragmentOverlap
	DropFragmentCount
	DropFragmentMemory
	DropFragmentECN
	DropFragmentEvicted
	DropFragmentTimeout

	DropICMPProtocol
	DropICMPFragment
	DropICMPShort
	DropICMPChecksum
	DropICMPEmbeddedShort
	DropICMPEmbeddedHeader
	DropICMPEmbeddedFragment
	DropICMPEmbeddedSource

	// NumDrops is the number of reasons, DropNone included: the size of an array of counters.
	NumDrops
)

var dropNames = [NumDrops]string{
	DropNone:                          "none",
	DropEmpty:                         "empty",
	DropVersion:                       "version",
	DropIPv4HeaderShort:               "ipv4_header_short",
	DropIPv4HeaderLength:              "ipv4_header_length",
	DropIPv4Truncated:                 "ipv4_truncated",
	DropIPv4Checksum:                  "ipv4_checksum",
	DropIPv4Options:                   "ipv4_options",
	DropIPv4SourceRoute:               "ipv4_source_route",
	DropIPv4TTL:                       "ipv4_ttl",
	DropIPv6HeaderShort:               "ipv6_header_short",
	DropIPv6Truncated:                 "ipv6_truncated",
	DropIPv6HopLimit:                  "ipv6_hop_limit",
	DropIPv6Jumbogram:                 "ipv6_jumbogram",
	DropIPv6ExtensionTruncated:        "ipv6_extension_truncated",
	DropIPv6ExtensionChain:            "ipv6_extension_chain",
	DropIPv6ExtensionOrder:            "ipv6_extension_order",
	DropIPv6Option:                    "ipv6_option",
	DropIPv6Routing:                   "ipv6_routing",
	DropMartianMapped:                 "martian_mapped",
	DropMartianSourceUnspecified:      "martian_source_unspecified",
	DropMartianSourceLoopback:         "martian_source_loopback",
	DropMartianSourceMulticast:        "martian_source_multicast",
	DropMartianSourceReserved:         "martian_source_reserved",
	DropMartianDestinationUnspecified: "martian_destination_unspecified",
	DropMartianDestinationLoopback:    "martian_destination_loopback",
	DropMartianDestinationMulticast:   "martian_destination_multicast",
	DropMartianDestinationReserved:    "martian_destination_reserved",
	DropMartianLand:                   "martian_land",
	DropFragmentEmpty:                 "fragment_empty",
	DropFragmentLength:                "fragment_length",
	DropFragmentTooLong:               "fragment_too_long",
	DropFragmentTiny:                  "fragment_tiny",
	DropFragmentDuplicate:             "fragment_duplicate",
	DropFragmentOverlap:               "fragment_overlap",
	DropFragmentCount:                 "fragment_count",
	DropFragmentMemory:                "fragment_memory",
	DropFragmentECN:                   "fragment_ecn",
	DropFragmentEvicted:               "fragment_evicted",
	DropFragmentTimeout:               "fragment_timeout",
	DropICMPProtocol:                  "icmp_protocol",
	DropICMPFragment:                  "icmp_fragment",
	DropICMPShort:                     "icmp_short",
	DropICMPChecksum:                  "icmp_checksum",
	DropICMPEmbeddedShort:             "icmp_embedded_short",
	DropICMPEmbeddedHeader:            "icmp_embedded_header",
	DropICMPEmbeddedFragment:          "icmp_embedded_fragment",
	DropICMPEmbeddedSource:            "icmp_embedded_source",
}

// String returns the reason as a metric label: lower case, words joined by underscores.
func (d Drop) String() string {
	if d >= NumDrops {
		return "unknown"
	}
	return dropNames[d]
}
