"""The names of socket constants: families, types, protocols by family. Name to number, number to name, did-you-mean.

One row a constant. A table is one string, read when somebody first asks it, so that importing this module is cheap. A
row is ``NAME NUMBERS meaning``. NUMBERS is one number for every platform of its table, or several, in which a letter
says whose number it is: ``L10,M30,F28,W23`` (Linux, macOS, FreeBSD, Windows). The first row of a number has its
canonical name, later rows have aliases.

Where Python's ``socket`` exports a constant, Python's number wins over the row's: some architectures of Linux have
their own (``SOCK_NONBLOCK``, and on MIPS even ``SOCK_STREAM``).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sockkit.errors import UsageError
from sockkit.text import quoted

_BASE_TYPE = 0xF
_LETTERS = {"L": "Linux", "M": "macOS", "F": "FreeBSD", "W": "Windows"}
PLATFORMS = tuple(_LETTERS.values())
"""The platforms that the tables know."""

HERE = {"linux": "Linux", "android": "Linux", "darwin": "macOS", "win32": "Windows", "cygwin": "Windows"}.get(
    sys.platform, "FreeBSD" if sys.platform.startswith("freebsd") else sys.platform
)
"""This platform: one of ``PLATFORMS``, or ``sys.platform`` where only Python's own numbers are known."""

_FAMILIES = """
AF_UNSPEC       0                   no family in particular
AF_UNIX         1                   local to this machine: a path or an abstract name
AF_LOCAL        1                   another name of AF_UNIX
AF_FILE         L1                  glibc's other name of AF_UNIX
AF_INET         2                   IPv4
AF_AX25         L3                  AX.25, packet radio of amateurs
AF_IPX          L4,M23,F23,W6       Novell IPX
AF_APPLETALK    L5,M16,F16,W16      AppleTalk
AF_NETROM       L6                  NET/ROM, networks of amateur radio
AF_BRIDGE       L7                  bridged networks, in rtnetlink messages
AF_ATMPVC       L8                  ATM, permanent virtual circuits
AF_X25          L9                  X.25 packet layer
AF_INET6        L10,M30,F28,W23     IPv6
AF_ROSE         L11                 ROSE, X.25 over amateur radio
AF_DECnet       L12,M12,F12,W12     DECnet
AF_NETBEUI      L13                 reserved for 802.2 LLC
AF_SECURITY     L14                 security callbacks, never a socket
AF_KEY          L15,M29,F27         key management for IPsec
AF_NETLINK      L16,F38             talk with the kernel: routes, links, events
AF_ROUTE        L16,M17,F17         routing messages (on Linux another name of AF_NETLINK)
AF_PACKET       L17                 link-layer frames, such as Ethernet
AF_ASH          L18                 Ash, reserved and unused
AF_ECONET       L19                 Acorn Econet
AF_ATMSVC       L20                 ATM, switched virtual circuits
AF_RDS          L21                 Reliable Datagram Sockets, for clusters
AF_SNA          L22,M11,F11,W11     IBM SNA
AF_IRDA         L23,W26             infrared, IrDA
AF_PPPOX        L24                 PPP over something: PPPoE, L2TP, PPTP
AF_WANPIPE      L25                 Wanpipe WAN cards
AF_LLC          L26                 802.2 Logical Link Control
AF_IB           L27                 InfiniBand addresses
AF_MPLS         L28                 MPLS routes, never a socket
AF_CAN          L29                 CAN, the bus of cars and machines
AF_TIPC         L30                 TIPC, messages within a cluster
AF_BLUETOOTH    L31,F36,W32         Bluetooth
AF_BTH          W32                 Windows' own name of AF_BLUETOOTH
AF_IUCV         L32                 between guests of z/VM
AF_RXRPC        L33                 RxRPC, remote calls as AFS makes them
AF_ISDN         L34,M28,F26         ISDN (mISDN on Linux)
AF_E164         M28,F26             another name of AF_ISDN
AF_PHONET       L35                 Phonet, to Nokia modems
AF_IEEE802154   L36                 802.15.4, the radio below Zigbee and 6LoWPAN
AF_CAIF         L37                 CAIF, to ST-Ericsson modems
AF_ALG          L38                 the kernel's cryptography
AF_NFC          L39                 near-field communication
AF_VSOCK        L40,M40             between a virtual machine and its host
AF_KCM          L41                 messages multiplexed over stream connections
AF_QIPCRTR      L42                 to the processors of a Qualcomm chip
AF_SMC          L43                 SMC, stream sockets over RDMA
AF_XDP          L44                 packets straight from the driver, through XDP
AF_MCTP         L45                 MCTP, between the management controllers of a board
AF_IMPLINK      M3,F3,W3            ARPANET IMP
AF_PUP          M4,F4,W4            Xerox PUP
AF_CHAOS        M5,F5,W5            Chaosnet
AF_NS           M6,W6               Xerox Network Systems
AF_ISO          M7,F7,W7            ISO protocols
AF_OSI          M7,F7,W7            another name of AF_ISO
AF_ECMA         M8,F8,W8            European computer manufacturers
AF_DATAKIT      M9,F9,W9            Datakit
AF_CCITT        M10,F10,W10         CCITT protocols, such as X.25
AF_DLI          M13,F13,W13         DEC direct data link
AF_LAT          M14,F14,W14         DEC LAT
AF_HYLINK       M15,F15,W15         NSC HYPERchannel
AF_LINK         M18,F18,W33         link-layer addresses
AF_COIP         M20,F20             connection-oriented IP (ST-II)
AF_CNT          M21,F21             Computer Network Technology
AF_SIP          M24,F24             Simple Internet Protocol, before IPv6
AF_NDRV         M27                 frames of a network driver
AF_NATM         M31,F29             native ATM
AF_ATM          F30,W22             ATM
AF_SYSTEM       M32                 kernel events and kernel control
AF_NETBIOS      M33,F6,W17          NetBIOS
AF_PPP          M34                 PPP
AF_IEEE80211    M37,F37             802.11, wireless LAN
AF_UTUN         M38                 tunnels of user programs
AF_NETGRAPH     F32                 netgraph nodes
AF_SLOW         F33                 802.3 slow protocols
AF_SCLUSTER     F34                 Sitara cluster
AF_ARP          F35                 ARP
AF_INET_SDP     F40                 Sockets Direct Protocol over IPv4 addresses
AF_INET6_SDP    F42                 Sockets Direct Protocol over IPv6 addresses
AF_HYPERV       F43,W34             between a Hyper-V guest and its host
AF_DIVERT       F44                 packets that the firewall diverts
AF_VOICEVIEW    W18                 VoiceView
AF_FIREFOX      W19                 Firefox protocols (not the browser)
AF_UNKNOWN1     W20                 taken, and nobody says by whom
AF_BAN          W21                 Banyan
AF_CLUSTER      W24                 Microsoft cluster
AF_12844        W25                 IEEE 1284.4, to printers
AF_NETDES       W28                 Network Designers OSI
AF_TCNPROCESS   W29                 TCN, a process
AF_TCNMESSAGE   W30                 TCN, a message
AF_ICLFXBM      W31                 ICL FXBM
AF_MAX          L46,M41,F44,W35     a limit, not a family: as many as the headers know
"""

_TYPES = """
SOCK_STREAM     1                           reliable byte stream both ways, in order, without message borders (TCP)
SOCK_DGRAM      2                           single messages that may be lost, doubled or reordered (UDP)
SOCK_RAW        3                           packets with our own protocol header, mostly for the privileged
SOCK_RDM        4                           messages that arrive, in any order
SOCK_SEQPACKET  5                           a connection that keeps order and message borders
SOCK_DCCP       L6                          unreliable messages with congestion control (DCCP)
SOCK_PACKET     L10                         obsolete way to link-layer frames: AF_PACKET does it now
SOCK_NONBLOCK   L0x800,F0x20000000          flag, calls return at once instead of waiting
SOCK_CLOEXEC    L0x80000,F0x10000000        flag, programs that we execute do not inherit it
"""

# IANA's registry. These numbers are a byte on the wire, so each of its names is good on every platform. The canonical
# name is the C constant that today's headers have, else IANA's keyword; other spellings follow as aliases. IANA wins
# over the BSD headers where they say otherwise (ST is 5, IGP is 9), but not over IPPROTO_IPIP, which is 4 in every
# header and 94 at IANA. What IANA describes without naming it has BSD's name; 114 has none anywhere but here.
_PROTOCOLS = """
IPPROTO_IP              0           the default protocol of the type; in a packet, IPv6 hop-by-hop options
IPPROTO_HOPOPTS         0           IPv6 hop-by-hop options
IPPROTO_HOPOPT          0           IPv6 hop-by-hop options
IPPROTO_ICMP            1           Internet Control Message
IPPROTO_IGMP            2           Internet Group Management
IPPROTO_GGP             3           Gateway-to-Gateway
IPPROTO_IPIP            4           IPv4 inside IP
IPPROTO_IPV4            4           IPv4 inside IP
IPPROTO_ST              5           Stream, ST-II
IPPROTO_TCP             6           Transmission Control
IPPROTO_CBT             7           Core Based Trees
IPPROTO_EGP             8           Exterior Gateway
IPPROTO_IGP             9           any private interior gateway
IPPROTO_PIGP            9           any private interior gateway
IPPROTO_BBN_RCC_MON     10          BBN RCC Monitoring
IPPROTO_RCCMON          10          BBN RCC Monitoring
IPPROTO_NVP_II          11          Network Voice
IPPROTO_NVPII           11          Network Voice
IPPROTO_PUP             12          PARC Universal Packet
IPPROTO_ARGUS           13          Argus (deprecated)
IPPROTO_EMCON           14          EMCON
IPPROTO_XNET            15          Cross Net Debugger
IPPROTO_CHAOS           16          Chaos
IPPROTO_UDP             17          User Datagram
IPPROTO_MUX             18          Multiplexing
IPPROTO_DCN_MEAS        19          DCN Measurement
IPPROTO_MEAS            19          DCN Measurement
IPPROTO_HMP             20          Host Monitoring
IPPROTO_PRM             21          Packet Radio Measurement
IPPROTO_IDP             22          Xerox NS IDP
IPPROTO_XNS_IDP         22          Xerox NS IDP
IPPROTO_TRUNK_1         23          Trunk-1
IPPROTO_TRUNK1          23          Trunk-1
IPPROTO_TRUNK_2         24          Trunk-2
IPPROTO_TRUNK2          24          Trunk-2
IPPROTO_LEAF_1          25          Leaf-1
IPPROTO_LEAF1           25          Leaf-1
IPPROTO_LEAF_2          26          Leaf-2
IPPROTO_LEAF2           26          Leaf-2
IPPROTO_RDP             27          Reliable Data
IPPROTO_IRTP            28          Internet Reliable Transaction
IPPROTO_TP              29          ISO Transport class 4
IPPROTO_ISO_TP4         29          ISO Transport class 4
IPPROTO_NETBLT          30          Bulk Data Transfer
IPPROTO_BLT             30          Bulk Data Transfer
IPPROTO_MFE_NSP         31          MFE Network Services
IPPROTO_NSP             31          MFE Network Services
IPPROTO_MERIT_INP       32          MERIT Internodal
IPPROTO_INP             32          MERIT Internodal
IPPROTO_DCCP            33          Datagram Congestion Control
IPPROTO_SEP             M33,F33     Sequential Exchange, BSD's name for DCCP's number
IPPROTO_3PC             34          Third Party Connect
IPPROTO_IDPR            35          Inter-Domain Policy Routing
IPPROTO_XTP             36          Xpress Transport
IPPROTO_DDP             37          Datagram Delivery, as in AppleTalk
IPPROTO_IDPR_CMTP       38          IDPR Control Message Transport
IPPROTO_CMTP            38          IDPR Control Message Transport
IPPROTO_TPXX            39          TP++ Transport
IPPROTO_IL              40          IL Transport, of Plan 9
IPPROTO_IPV6            41          IPv6 inside IP
IPPROTO_SDRP            42          Source Demand Routing
IPPROTO_ROUTING         43          IPv6 routing header
IPPROTO_IPV6_ROUTE      43          IPv6 routing header
IPPROTO_FRAGMENT        44          IPv6 fragment header
IPPROTO_IPV6_FRAG       44          IPv6 fragment header
IPPROTO_IDRP            45          Inter-Domain Routing
IPPROTO_RSVP            46          Resource Reservation
IPPROTO_GRE             47          Generic Routing Encapsulation
IPPROTO_DSR             48          Dynamic Source Routing
IPPROTO_MHRP            M48,F48     Mobile Host Routing, BSD's name for DSR's number
IPPROTO_BNA             49          BNA
IPPROTO_BHA             M49,F49     BSD's spelling of BNA
IPPROTO_ESP             50          Encapsulating Security Payload, of IPsec
IPPROTO_AH              51          Authentication Header, of IPsec
IPPROTO_I_NLSP          52          Integrated Net Layer Security
IPPROTO_INLSP           52          Integrated Net Layer Security
IPPROTO_SWIPE           53          IP with Encryption (deprecated)
IPPROTO_NARP            54          NBMA Address Resolution
IPPROTO_NHRP            M54,F54     Next Hop Resolution, BSD's name for NARP's number
IPPROTO_MIN_IPV4        55          minimal IPv4 encapsulation, for mobile IP
IPPROTO_MOBILE          55          minimal IPv4 encapsulation, for mobile IP
IPPROTO_TLSP            56          Transport Layer Security with Kryptonet keys (not TLS)
IPPROTO_SKIP            57          SKIP key management
IPPROTO_ICMPV6          58          ICMP for IPv6
IPPROTO_IPV6_ICMP       58          ICMP for IPv6
IPPROTO_NONE            59          nothing follows this IPv6 header
IPPROTO_IPV6_NONXT      59          nothing follows this IPv6 header
IPPROTO_DSTOPTS         60          IPv6 destination options
IPPROTO_IPV6_OPTS       60          IPv6 destination options
IPPROTO_AHIP            61          any host-internal protocol
IPPROTO_CFTP            62          CFTP
IPPROTO_HELLO           63          any local network
IPPROTO_SAT_EXPAK       64          SATNET and Backroom EXPAK
IPPROTO_SATEXPAK        64          SATNET and Backroom EXPAK
IPPROTO_KRYPTOLAN       65          Kryptolan
IPPROTO_RVD             66          MIT Remote Virtual Disk
IPPROTO_IPPC            67          Internet Pluribus Packet Core
IPPROTO_ADFS            68          any distributed file system
IPPROTO_SAT_MON         69          SATNET Monitoring
IPPROTO_SATMON          69          SATNET Monitoring
IPPROTO_VISA            70          VISA
IPPROTO_IPCV            71          Internet Packet Core Utility
IPPROTO_CPNX            72          Computer Protocol Network Executive
IPPROTO_CPHB            73          Computer Protocol Heart Beat
IPPROTO_WSN             74          Wang Span Network
IPPROTO_PVP             75          Packet Video
IPPROTO_BR_SAT_MON      76          Backroom SATNET Monitoring
IPPROTO_BRSATMON        76          Backroom SATNET Monitoring
IPPROTO_SUN_ND          77          Sun ND, network disk
IPPROTO_ND              77          Sun ND, network disk
IPPROTO_WB_MON          78          Wideband Monitoring
IPPROTO_WBMON           78          Wideband Monitoring
IPPROTO_ICLFXBM         W78         ICL FXBM, Windows' name for WB-MON's number
IPPROTO_WB_EXPAK        79          Wideband EXPAK
IPPROTO_WBEXPAK         79          Wideband EXPAK
IPPROTO_ISO_IP          80          ISO Internet
IPPROTO_EON             80          ISO Internet
IPPROTO_VMTP            81          Versatile Message Transaction
IPPROTO_SECURE_VMTP     82          Secure VMTP
IPPROTO_SVMTP           82          Secure VMTP
IPPROTO_VINES           83          Banyan VINES
IPPROTO_IPTM            84          Internet Protocol Traffic Manager
IPPROTO_TTP             84          Transaction Transport, the number's former owner
IPPROTO_NSFNET_IGP      85          NSFNET interior gateway
IPPROTO_DGP             86          Dissimilar Gateway
IPPROTO_TCF             87          TCF
IPPROTO_EIGRP           88          Enhanced Interior Gateway Routing
IPPROTO_IGRP            88          Interior Gateway Routing, EIGRP's elder
IPPROTO_OSPF            89          Open Shortest Path First
IPPROTO_OSPFIGP         89          Open Shortest Path First
IPPROTO_SPRITE_RPC      90          Sprite remote calls
IPPROTO_SRPC            90          Sprite remote calls
IPPROTO_LARP            91          Locus Address Resolution
IPPROTO_MTP             92          Multicast Transport
IPPROTO_AX25            93          AX.25 frames of amateur radio
IPPROTO_AX_25           93          AX.25 frames of amateur radio
IPPROTO_IPEIP           94          IP within IP, with a header of its own
IPPROTO_BEETPH          L94         pseudo header of IPsec's BEET mode, Linux' use of IPEIP's number
IPPROTO_MICP            95          Mobile Internetworking Control (deprecated)
IPPROTO_SCC_SP          96          Semaphore Communications Security
IPPROTO_SCCSP           96          Semaphore Communications Security
IPPROTO_ETHERIP         97          Ethernet within IP
IPPROTO_ENCAP           98          Encapsulation Header
IPPROTO_APES            99          any private encryption
IPPROTO_GMTP            100         GMTP
IPPROTO_IFMP            101         Ipsilon Flow Management
IPPROTO_PNNI            102         PNNI over IP
IPPROTO_PIM             103         Protocol Independent Multicast
IPPROTO_ARIS            104         ARIS
IPPROTO_SCPS            105         Space Communications Protocol Standards
IPPROTO_QNX             106         QNX
IPPROTO_A_N             107         Active Networks
IPPROTO_COMP            108         IP Payload Compression
IPPROTO_IPCOMP          108         IP Payload Compression
IPPROTO_SNP             109         Sitara Networks
IPPROTO_COMPAQ_PEER     110         Compaq Peer
IPPROTO_IPX_IN_IP       111         IPX inside IP
IPPROTO_VRRP            112         Virtual Router Redundancy
IPPROTO_CARP            F112        Common Address Redundancy, BSD's use of VRRP's number
IPPROTO_PGM             113         Pragmatic General Multicast, reliable
IPPROTO_RM              W113        Windows' other name of PGM
IPPROTO_ANY_0HOP        114         any protocol of zero hops
IPPROTO_L2TP            115         Layer Two Tunneling
IPPROTO_DDX             116         D-II Data Exchange
IPPROTO_IATP            117         Interactive Agent Transfer
IPPROTO_STP             118         Schedule Transfer
IPPROTO_SRP             119         SpectraLink Radio
IPPROTO_UTI             120         Universal Transport Interface
IPPROTO_SMP             121         Simple Message
IPPROTO_SM              122         Simple Multicast (deprecated)
IPPROTO_PTP             123         Performance Transparency
IPPROTO_ISIS            124         IS-IS over IPv4
IPPROTO_ISIS_OVER_IPV4  124         IS-IS over IPv4
IPPROTO_FIRE            125         FIRE
IPPROTO_CRTP            126         Combat Radio Transport
IPPROTO_CRUDP           127         Combat Radio User Datagram
IPPROTO_SSCOPMCE        128         SSCOP in multi-link and connectionless environments
IPPROTO_IPLT            129         IPLT
IPPROTO_SPS             130         Secure Packet Shield
IPPROTO_PIPE            131         Private IP Encapsulation within IP
IPPROTO_SCTP            132         Stream Control Transmission
IPPROTO_FC              133         Fibre Channel
IPPROTO_RSVP_E2E_IGNORE 134         RSVP reservations that inner routers ignore
IPPROTO_MH              135         Mobility Header, of mobile IPv6
IPPROTO_MOBILITY_HEADER 135         Mobility Header, of mobile IPv6
IPPROTO_UDPLITE         136         UDP with a partial checksum
IPPROTO_MPLS            137         MPLS inside IP
IPPROTO_MPLS_IN_IP      137         MPLS inside IP
IPPROTO_MANET           138         mobile ad-hoc networks
IPPROTO_HIP             139         Host Identity
IPPROTO_SHIM6           140         multihoming by a shim in IPv6
IPPROTO_WESP            141         Wrapped Encapsulating Security Payload
IPPROTO_ROHC            142         Robust Header Compression
IPPROTO_ETHERNET        143         Ethernet inside IPv6 segment routing
IPPROTO_AGGFRAG         144         aggregation and fragmentation inside ESP
IPPROTO_NSH             145         Network Service Header
IPPROTO_HOMA            146         Homa, transport within data centres
IPPROTO_BIT_EMU         147         bit-stream emulation
IPPROTO_PFSYNC          F240        state tables of the packet filter pf
IPPROTO_RESERVED_253    253         for experiments and tests
IPPROTO_RESERVED_254    254         for experiments and tests
IPPROTO_DIVERT          M254,F258   packets that the firewall diverts
IPPROTO_RAW             255         raw IP, the sender writes the IP header; reserved on the wire
IPPROTO_RESERVED        255         reserved on the wire
IPPROTO_SMC             L256        SMC over RDMA in place of TCP, since Linux 6.11
IPPROTO_SEND            F259        Secure Neighbor Discovery
IPPROTO_MPTCP           L262        Multipath TCP
IPPROTO_MAX             L263,M256,F256,W256  a limit, not a protocol: numbers from here on are refused
"""

_CAN = """
CAN_RAW         1       single CAN frames
CAN_BCM         2       Broadcast Manager: the kernel sends and filters cyclic frames
CAN_TP16        3       VAG transport 1.6
CAN_TP20        4       VAG transport 2.0
CAN_MCNET       5       Bosch MCNet
CAN_ISOTP       6       ISO 15765-2, long messages for diagnosis
CAN_J1939       7       SAE J1939, lorries and tractors
"""

_NETLINK = """
NETLINK_ROUTE           L0,F0   routes, addresses, links, neighbours
NETLINK_UNUSED          1       no longer used
NETLINK_USERSOCK        2       between user programs
NETLINK_FIREWALL        3       no longer used: ip_queue
NETLINK_SOCK_DIAG       4       what sockets exist, as ss lists them
NETLINK_INET_DIAG       4       the former name of NETLINK_SOCK_DIAG
NETLINK_NFLOG           5       no longer used: netfilter's ULOG
NETLINK_XFRM            6       IPsec policies and associations
NETLINK_SELINUX         7       SELinux events
NETLINK_ISCSI           8       Open-iSCSI
NETLINK_AUDIT           9       audit
NETLINK_FIB_LOOKUP      10      ask the routing table
NETLINK_CONNECTOR       11      kernel connector: process events and more
NETLINK_NETFILTER       12      nftables, conntrack, packet queues
NETLINK_IP6_FW          13      no longer used: ip6_queue
NETLINK_DNRTMSG         14      no longer used: DECnet routing
NETLINK_KOBJECT_UEVENT  15      device events, as udev hears them
NETLINK_GENERIC         L16,F16 generic netlink: families that register by name
NETLINK_SCSITRANSPORT   18      SCSI transports
NETLINK_ECRYPTFS        19      eCryptfs
NETLINK_RDMA            20      RDMA devices
NETLINK_CRYPTO          21      the kernel's cryptography
NETLINK_SMC             22      no longer used: SMC monitoring
"""

# Ethertypes, in host byte order as the headers write them. Below 0x0600 they are Linux' own.
_ETHERTYPES = """
ETH_P_802_3         0x0001  802.3 frames, by length
ETH_P_AX25          0x0002  AX.25
ETH_P_ALL           0x0003  every frame, ours included
ETH_P_802_2         0x0004  802.2 frames
ETH_P_SNAP          0x0005  SNAP, internal
ETH_P_DDCMP         0x0006  DEC DDCMP, internal
ETH_P_WAN_PPP       0x0007  PPP on WAN cards
ETH_P_PPP_MP        0x0008  multilink PPP
ETH_P_LOCALTALK     0x0009  LocalTalk
ETH_P_CAN           0x000C  CAN
ETH_P_CANFD         0x000D  CAN FD
ETH_P_CANXL         0x000E  CAN XL
ETH_P_PPPTALK       0x0010  AppleTalk over PPP
ETH_P_TR_802_2      0x0011  802.2 on token ring
ETH_P_MOBITEX       0x0015  Mobitex
ETH_P_CONTROL       0x0016  control frames of a card
ETH_P_IRDA          0x0017  IrDA
ETH_P_ECONET        0x0018  Acorn Econet
ETH_P_HDLC          0x0019  HDLC
ETH_P_ARCNET        0x001A  ARCNET
ETH_P_DSA           0x001B  switch tags, DSA
ETH_P_TRAILER       0x001C  switch tags at the end of the frame
ETH_P_LOOP          0x0060  Ethernet loopback
ETH_P_PHONET        0x00F5  Phonet
ETH_P_IEEE802154    0x00F6  802.15.4
ETH_P_CAIF          0x00F7  CAIF
ETH_P_XDSA          0x00F8  switch tags, multiplexed DSA
ETH_P_MAP           0x00F9  Qualcomm multiplexing and aggregation
ETH_P_MCTP          0x00FA  MCTP
ETH_P_PUP           0x0200  Xerox PUP
ETH_P_PUPAT         0x0201  Xerox PUP address translation
ETH_P_IP            0x0800  IPv4
ETH_P_X25           0x0805  X.25
ETH_P_ARP           0x0806  ARP
ETH_P_BPQ           0x08FF  AX.25 over Ethernet
ETH_P_IEEEPUP       0x0A00  PUP in 802.3
ETH_P_IEEEPUPAT     0x0A01  PUP address translation in 802.3
ETH_P_ERSPAN2       0x22EB  ERSPAN type III
ETH_P_TSN           0x22F0  IEEE 1722, audio and video in time
ETH_P_BATMAN        0x4305  B.A.T.M.A.N. mesh
ETH_P_DEC           0x6000  DEC
ETH_P_DNA_DL        0x6001  DEC dump and load
ETH_P_DNA_RC        0x6002  DEC remote console
ETH_P_DNA_RT        0x6003  DECnet routing
ETH_P_LAT           0x6004  DEC LAT
ETH_P_DIAG          0x6005  DEC diagnostics
ETH_P_CUST          0x6006  DEC customers' own
ETH_P_SCA           0x6007  DEC clusters
ETH_P_TEB           0x6558  Ethernet inside a tunnel
ETH_P_RARP          0x8035  reverse ARP
ETH_P_ATALK         0x809B  AppleTalk
ETH_P_AARP          0x80F3  AppleTalk ARP
ETH_P_8021Q         0x8100  VLAN tag
ETH_P_IPX           0x8137  IPX
ETH_P_IPV6          0x86DD  IPv6
ETH_P_PAUSE         0x8808  pause frames
ETH_P_SLOW          0x8809  slow protocols, such as LACP
ETH_P_WCCP          0x883E  web cache coordination
ETH_P_MPLS_UC       0x8847  MPLS unicast
ETH_P_MPLS_MC       0x8848  MPLS multicast
ETH_P_ATMMPOA       0x884C  multiprotocol over ATM
ETH_P_PPP_DISC      0x8863  PPPoE discovery
ETH_P_PPP_SES       0x8864  PPPoE session
ETH_P_LINK_CTL      0x886C  HPNA link control
ETH_P_ATMFATE       0x8884  ATM in Ethernet frames
ETH_P_PAE           0x888E  802.1X, EAPOL
ETH_P_PROFINET      0x8892  PROFINET
ETH_P_REALTEK       0x8899  Realtek's own
ETH_P_AOE           0x88A2  ATA over Ethernet
ETH_P_ETHERCAT      0x88A4  EtherCAT
ETH_P_8021AD        0x88A8  service VLAN tag
ETH_P_802_EX1       0x88B5  for local experiments
ETH_P_ERSPAN        0x88BE  ERSPAN type II
ETH_P_PREAUTH       0x88C7  802.11 preauthentication
ETH_P_TIPC          0x88CA  TIPC
ETH_P_LLDP          0x88CC  who is at the other end of the cable, LLDP
ETH_P_MRP           0x88E3  Media Redundancy
ETH_P_MACSEC        0x88E5  MACsec
ETH_P_8021AH        0x88E7  backbone service tag
ETH_P_MVRP          0x88F5  VLAN registration
ETH_P_1588          0x88F7  PTP, precise time
ETH_P_NCSI          0x88F8  NC-SI, management controllers
ETH_P_PRP           0x88FB  Parallel Redundancy
ETH_P_CFM           0x8902  Connectivity Fault Management
ETH_P_FCOE          0x8906  Fibre Channel over Ethernet
ETH_P_TDLS          0x890D  TDLS, between wireless stations
ETH_P_FIP           0x8914  FCoE initialisation
ETH_P_IBOE          0x8915  InfiniBand over Ethernet
ETH_P_80221         0x8917  802.21 handover
ETH_P_HSR           0x892F  High-availability Seamless Redundancy
ETH_P_NSH           0x894F  Network Service Header
ETH_P_LOOPBACK      0x9000  Ethernet loopback, as 802.3 has it
ETH_P_QINQ1         0x9100  VLAN in VLAN, deprecated
ETH_P_QINQ2         0x9200  VLAN in VLAN, deprecated
ETH_P_QINQ3         0x9300  VLAN in VLAN, deprecated
ETH_P_EDSA          0xDADA  switch tags with an ethertype
ETH_P_DSA_8021Q     0xDADB  switch tags as VLAN tags
ETH_P_DSA_A5PSW     0xE001  switch tags of A5PSW
ETH_P_IFE           0xED3E  ForCES, between forwarding elements
ETH_P_AF_IUCV       0xFBFB  AF_IUCV
"""

_BLUETOOTH = """
BTPROTO_L2CAP   L0,F135,W256    L2CAP, packets to a service
BTPROTO_HCI     L1,F134         HCI, commands to the controller
BTPROTO_SCO     L2,F137         SCO, voice
BTPROTO_RFCOMM  L3,F136,W3      RFCOMM, a serial line
BTPROTO_BNEP    L4              BNEP, Ethernet over Bluetooth
BTPROTO_CMTP    L5              CMTP, ISDN over Bluetooth
BTPROTO_HIDP    L6              HIDP, keyboards and mice
BTPROTO_AVDTP   L7              AVDTP, audio and video
BTPROTO_ISO     L8              isochronous channels, LE Audio
"""

_ISDN = """
ISDN_P_BASE         0x00    the stack itself
ISDN_P_NONE         0x00    no protocol yet
ISDN_P_TE_S0        0x01    terminal side of S0
ISDN_P_NT_S0        0x02    network side of S0
ISDN_P_TE_E1        0x03    terminal side of E1
ISDN_P_NT_E1        0x04    network side of E1
ISDN_P_TE_UP0       0x05    terminal side of Up0
ISDN_P_NT_UP0       0x06    network side of Up0
ISDN_P_LAPD_TE      0x10    LAPD, terminal
ISDN_P_LAPD_NT      0x11    LAPD, network
ISDN_P_B_RAW        0x21    B channel, raw
ISDN_P_B_HDLC       0x22    B channel, HDLC
ISDN_P_B_X75SLP     0x23    B channel, X.75
ISDN_P_B_L2DTMF     0x24    B channel, tones
ISDN_P_B_L2DSP      0x25    B channel, signal processing
ISDN_P_B_L2DSPHDLC  0x26    B channel, signal processing of HDLC
"""

_ATM = """
ATM_NO_AAL  0   no adaptation layer chosen
ATM_AAL1    1   adaptation layer 1, constant bit rate
ATM_AAL2    2   adaptation layer 2, variable bit rate
ATM_AAL34   3   adaptation layer 3/4, data
ATM_AAL5    5   adaptation layer 5, data
ATM_AAL0    13  raw cells
"""

_CAIF = """
CAIFPROTO_AT            0   AT commands
CAIFPROTO_DATAGRAM      1   datagrams
CAIFPROTO_DATAGRAM_LOOP 2   datagrams that come back, for tests
CAIFPROTO_UTIL          3   utility channel
CAIFPROTO_RFM           4   remote file manager
CAIFPROTO_DEBUG         5   debugging
"""

_UNIX = """
PF_UNIX     L1,M1,F1,W1     the same as 0
PF_LOCAL    L1,M1,F1,W1     the same as 0
"""

_SYSTEM = """
SYSPROTO_EVENT      M1      kernel events
SYSPROTO_CONTROL    M2      kernel controls, such as utun
"""

_KEY = """
PF_KEY_V2   L2,M2,F2    PF_KEY version 2, the only one
"""

_PPPOX = """
PX_PROTO_OE     0   PPP over Ethernet
PX_PROTO_OL2TP  1   PPP over L2TP
PX_PROTO_PPTP   2   PPP over PPTP
"""

_NFC = """
NFC_SOCKPROTO_RAW   0   bytes to a tag
NFC_SOCKPROTO_LLCP  1   between two peers
"""

_PHONET = """
PN_PROTO_TRANSPORT  0   the default of the type
PN_PROTO_PHONET     1   datagrams
PN_PROTO_PIPE       2   pipes
"""

_SMC = """
SMCPROTO_SMC    0   over IPv4
SMCPROTO_SMC6   1   over IPv6
"""

_KCM = """
KCMPROTO_CONNECTED  0   over connected sockets
"""

# RxRPC's protocol is the family that carries it.
_RXRPC = """
PF_INET     2   over IPv4
PF_INET6    10  over IPv6
"""

_IRDA = """
IRDAPROTO_UNITDATA  0   unit data
IRDAPROTO_ULTRA     1   Ultra, connectionless
"""

_HYPERV = """
HV_PROTOCOL_RAW     W1  a byte stream, the only one
"""

_NETGRAPH = """
NG_DATA     F1  a node's data
NG_CONTROL  F2  a node's control messages
"""


class UnknownName(UsageError):
    """A text that is neither a number nor a name that can be used here.

    Attributes:
        text: what was typed.
        suggestions: up to three names that were perhaps meant, closest first, as they can be typed.
    """

    def __init__(
        self,
        message: str,
        *,
        text: str,
        suggestions: tuple[str, ...] = (),
        option: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, option=option, cause=cause)
        self.text = text
        self.suggestions = suggestions


class Constant(NamedTuple):
    """One row."""

    name: str
    """In full: ``AF_INET``."""
    number: int | None
    """On this platform; None where it has no such constant."""
    platforms: tuple[str, ...]
    """Those of ``PLATFORMS`` that have it."""
    meaning: str
    """One short phrase: ``IPv4``."""


class Space:
    """One name space: the families, the types, or the protocols of a family.

    Attributes:
        prefixes: what may stand before a name, and may be left out; the first is the one that ``name()`` uses.
        title: what its numbers are, in messages: ``address family``.
        option: the option that takes them: ``--family``.
        families: whose protocols they are, in messages; empty for families and types.
    """

    def __init__(
        self,
        title: str,
        option: str,
        prefixes: tuple[str, ...] = (),
        rows: str = "",
        *,
        families: str = "",
        platforms: tuple[str, ...] = PLATFORMS,
    ) -> None:
        self.title = title
        self.option = option
        self.prefixes = prefixes
        self.families = families
        self._rows = rows
        self._platforms = platforms
        self._constants: tuple[Constant, ...] | None = None
        self._by_text: dict[str, Constant] = {}
        self._by_number: dict[int, list[Constant]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}>"

    def parse(self, text: str, *, option: str | None = None) -> int:
        """The number for ``INET``, ``af_inet``, ``PF_INET``, ``2`` or ``0x2``. Any number is taken, without a range.

        A name that would read as a number needs its prefix: ``1588`` is a number, ``ETH_P_1588`` is a name.

        Raises:
            UnknownName: no such name, or only on other platforms. ``option`` is noted in it.
        """
        try:
            number = _integer(text)
        except ValueError as error:
            raise UnknownName(
                f"{quoted(text)} has too many digits for a number", text=text, option=option, cause=error
            ) from error
        if number is not None:
            return number
        constant = self.find(text)
        if constant is None:
            raise self._unknown(text, option)
        if constant.number is None:
            where = _listed(constant.platforms, "and")
            message = f"{constant.name} exists on {where} only; this is {HERE}"
            raise UnknownName(message, text=text, option=option)
        return constant.number

    def find(self, text: str) -> Constant | None:
        """The row of a name, in any case, with or without prefix, other platforms' included. Numbers are not names."""
        self.constants()
        return self._by_text.get(_folded(text))

    def name(self, number: int) -> str | None:
        """The canonical name in full, ``AF_UNIX`` rather than ``AF_LOCAL``; None where the number has none."""
        self.constants()
        found = self._by_number.get(number)
        return found[0].name if found else None

    def names(self, number: int) -> tuple[str, ...]:
        """All names of a number on this platform, the canonical one first."""
        self.constants()
        return tuple(constant.name for constant in self._by_number.get(number, ()))

    def label(self, number: int) -> str:
        """For people: ``AF_INET (2)``, or ``47`` where there is no name."""
        name = self.name(number)
        return str(number) if name is None else f"{name} ({number})"

    def meaning(self, number: int) -> str | None:
        """What the number is, in one phrase, or None where it has no name."""
        self.constants()
        found = self._by_number.get(number)
        return found[0].meaning if found else None

    def constants(self) -> tuple[Constant, ...]:
        """The whole table in numeric order, then the constants that only other platforms have, in the table's order."""
        if self._constants is None:
            self._constants = self._load()
        return self._constants

    def complete(self, incomplete: str) -> list[tuple[str, str]]:
        """What a shell can offer: (what to insert, what it means). ``st`` gives ``STREAM``, ``af_i`` gives ``AF_INET``.

        Aliases are offered only once something was typed, names of other platforms never.
        """
        return self._complete(incomplete, (c for c in self.constants() if c.number is not None))

    # What kinds of spaces do in their own way

    def _to_call(self, number: int) -> int:
        """From the number in the headers to the one that ``socket()`` wants."""
        return number

    # The rest

    def _load(self) -> tuple[Constant, ...]:
        known: list[tuple[int, Constant]] = []
        elsewhere: list[Constant] = []
        for line in self._rows.splitlines():
            if not line:
                continue
            name, numbers, meaning = line.split(None, 2)
            number, platforms = self._resolve(name, numbers)
            if number is None:
                constant = Constant(name, None, platforms, meaning)
                elsewhere.append(constant)
            else:
                call = self._to_call(number)
                constant = Constant(name, call, platforms, meaning)
                known.append((number, constant))
                self._by_number.setdefault(call, []).append(constant)
            bare = _folded(self._bare(name))
            self._by_text[bare] = constant
            for prefix in self.prefixes:
                self._by_text[prefix + bare] = constant
        known.sort(key=lambda pair: pair[0])
        return (*(constant for _, constant in known), *elsewhere)

    def _resolve(self, name: str, numbers: str) -> tuple[int | None, tuple[str, ...]]:
        """A row's number on this platform, and the platforms that have it."""
        number: int | None = None
        if numbers[0].isdigit():
            platforms = self._platforms
            if HERE in platforms or platforms == PLATFORMS:
                number = int(numbers, 0)
        else:
            own = {_LETTERS[item[0]]: int(item[1:], 0) for item in numbers.split(",")}
            platforms = tuple(platform for platform in PLATFORMS if platform in own)
            number = own.get(HERE)
        bare = self._bare(name)
        for prefix in self.prefixes:
            exported = vars(socket).get(prefix + bare)
            if isinstance(exported, int):
                number = int(exported)
                if HERE in PLATFORMS and HERE not in platforms:
                    platforms = (*platforms, HERE)
                break
        return number, platforms

    def _bare(self, name: str) -> str:
        """A name without its prefix, if it has one."""
        folded = name.upper()
        for prefix in self.prefixes:
            if folded.startswith(prefix):
                return name[len(prefix) :]
        return name

    def _complete(self, incomplete: str, constants: Iterable[Constant]) -> list[tuple[str, str]]:
        wanted = _folded(incomplete)
        candidates = list(constants)
        for prefix in ("", *self.prefixes):
            found = []
            for constant in candidates:
                value = prefix + self._bare(constant.name)
                if not _folded(value).startswith(wanted) or _integer(value) is not None:
                    continue
                if wanted or constant.number is None or self.name(constant.number) == constant.name:
                    found.append((value, constant.meaning))
            if found:
                return found
        return []

    def _unknown(self, text: str, option: str | None) -> UnknownName:
        """The error for a text that is no name here: what it is elsewhere, what was perhaps meant, what there is."""
        suggestions = self._meant(text)
        elsewhere = self._elsewhere(text)
        facts = []
        misplaced = False
        if elsewhere is not None:
            space, constant = elsewhere
            misplaced = space.option != self.option
            if misplaced:
                article = "an" if space.title[0] in "aA" else "a"
                facts.append(f"{constant.name} is {article} {space.title} (use {space.option})")
            else:
                facts.append(f"{constant.name} is a protocol of {space.families}")
        if not misplaced:
            suggestions = suggestions or self._close(text)
        if suggestions:
            facts.append(f"did you mean {_listed(suggestions, 'or')}?")
        elif not misplaced:
            facts.append(self._offer())
        message = f"no {self.title} is called {quoted(text)}: {'; '.join(facts)}"
        if not misplaced:
            message += f"{'' if suggestions else '.'} A number is accepted too"
        return UnknownName(message, text=text, suggestions=suggestions, option=option)

    def _elsewhere(self, text: str) -> tuple[Space, Constant] | None:
        """The other space that has this very name; a wrong prefix is forgiven (``SOCK_INET`` is ``AF_INET``)."""
        for key in (text, self._bare(_folded(text))):
            for space in _all_spaces():
                if space is not self:
                    constant = space.find(key)
                    if constant is not None:
                        return space, constant
        return None

    def _usable(self) -> Iterator[tuple[str, Constant]]:
        """(bare name, row) of everything that this platform has, aliases after canonical names."""
        rows = [c for c in self.constants() if c.number is not None]
        rows.sort(key=lambda c: c.number is not None and self.name(c.number) != c.name)
        for constant in rows:
            yield self._bare(constant.name), constant

    def _typed(self, text: str, bare: str) -> str:
        """A name as this user would type it: with a prefix if there is one in ``text``."""
        folded = _folded(text)
        for prefix in self.prefixes:
            if folded.startswith(prefix):
                return prefix + bare
        return bare if _integer(bare) is None else self.prefixes[0] + bare

    def _meant(self, text: str) -> tuple[str, ...]:
        """Names whose meaning has this very word as a proper name: ``IPv6`` for ``INET6``, ``UDP`` for ``DGRAM``."""
        word = self._bare(_folded(text))
        if len(word) < 3:
            return ()
        found = [
            self._typed(text, bare)
            for bare, constant in self._usable()
            if constant.name == self.name(constant.number or 0) and word in _proper_names(constant.meaning)
        ]
        return tuple(found[:3])

    def _close(self, text: str) -> tuple[str, ...]:
        """The names most like a text, at most three and no two of one number."""
        word = self._bare(_folded(text))
        if len(word) > 40:
            return ()
        import difflib

        usable = {_folded(bare): (bare, constant) for bare, constant in self._usable()}
        found: dict[int | None, str] = {}
        letters = sorted(word)
        swapped = [key for key in usable if sorted(key) == letters]  # TPC is TCP rather than TP
        for key in dict.fromkeys((*swapped, *difflib.get_close_matches(word, usable, n=9))):
            bare, constant = usable[key]
            found.setdefault(constant.number, self._typed(text, bare))
        return tuple(found.values())[:3]

    def _offer(self) -> str:
        """The first names of the space, in words."""
        names = [c.name for c in self.constants() if c.number is not None and self.name(c.number) == c.name]
        if not names:
            return f"{self.families} has none by name on {HERE}, and 0 is its default"
        what = f"named protocols of {self.families}" if self.families else "named ones"
        if len(names) > 9:
            return f"{what}: {', '.join(names[:6])} and {len(names) - 6} more"
        return f"{what}: {_listed(names, 'and')}"


class TypeSpace(Space):
    """The socket types: one base type, and flags that are joined to it with ``+`` or ``|``."""

    def parse(self, text: str, *, option: str | None = None) -> int:
        """As for any space, and ``STREAM+NONBLOCK``, ``STREAM|CLOEXEC``, ``1+2048``.

        Raises:
            UnknownName: an unknown name, or more than one base type (STREAM|DGRAM would be 3, which is RAW).
        """
        pieces = _pieces(text)
        if len(pieces) == 1:
            return super().parse(text, option=option)
        if not all(piece.strip() for piece in pieces):
            raise UnknownName(
                f"{quoted(text)} joins nothing: STREAM+NONBLOCK joins two names", text=text, option=option
            )
        numbers = [super(TypeSpace, self).parse(piece, option=option) for piece in pieces]
        total = 0
        for number in numbers:
            if number < 0 or (self.parts(number)[0] and self.parts(total)[0]):
                message = f"{quoted(text)} is not one socket type with flags: join one type and flags, STREAM+NONBLOCK"
                raise UnknownName(message, text=text, option=option)
            total |= number
        return total

    def parts(self, number: int) -> tuple[int, int]:
        """(base type, flags), as the kernel takes a type apart. ``-1`` is not taken apart."""
        if number < 0:
            return number, 0
        if HERE == "Linux":  # which masks; the others know only their own flags
            base = number & _BASE_TYPE
        else:
            base = number
            for flag in self._flags():
                base &= ~flag
        return base, number & ~base

    def name(self, number: int) -> str | None:
        """As for any space; ``SOCK_STREAM+SOCK_NONBLOCK`` for a type with flags; None if a bit of it has no name."""
        name = super().name(number)
        if name is not None:
            return name
        base, flags = self.parts(number)
        if not flags or (base and not super().name(base)):
            return None
        spelt = self._spelt(base, flags)
        return None if any(piece.startswith("0x") for piece in spelt.split("+")) else spelt

    def names(self, number: int) -> tuple[str, ...]:
        """All names of a number; a type with flags has one."""
        names = super().names(number)
        if names:
            return names
        name = self.name(number)
        return () if name is None else (name,)

    def label(self, number: int) -> str:
        """``SOCK_STREAM+SOCK_NONBLOCK (2049)``; bits without a name as numbers: ``7+SOCK_NONBLOCK (2055)``."""
        base, flags = self.parts(number)
        if self.name(number) is None and flags:
            return f"{self._spelt(base, flags)} ({number})"
        return super().label(number)

    def meaning(self, number: int) -> str | None:
        """What the base type is, and what each flag does."""
        whole = super().meaning(number)
        if whole is not None or self.name(number) is None:
            return whole
        base, flags = self.parts(number)
        pieces = [base, *(flag for flag in self._flags() if flag & flags)]
        return "; ".join(filter(None, (super(TypeSpace, self).meaning(piece) for piece in pieces)))

    def complete(self, incomplete: str) -> list[tuple[str, str]]:
        """Base types, and after a ``+`` or ``|`` the flags that are not there yet."""
        cut = max(incomplete.rfind("+"), incomplete.rfind("|")) + 1
        head, rest = incomplete[:cut], incomplete[cut:]
        flags = self._flags()
        if not head:
            return self._complete(
                rest, (c for c in self.constants() if c.number is not None and (rest or c.number not in flags))
            )
        given = [self.find(piece) for piece in _pieces(head)]
        offered = [c for c in self.constants() if c.number in flags and c not in given]
        return [(head + value, meaning) for value, meaning in self._complete(rest, offered)]

    def _flags(self) -> tuple[int, ...]:
        """The flags of this platform, ascending: base types fit in four bits everywhere, and flags lie above."""
        return tuple(c.number for c in self.constants() if c.number is not None and c.number > _BASE_TYPE)

    def _spelt(self, base: int, flags: int) -> str:
        pieces = [super().name(base) or str(base)]
        for flag in self._flags():
            if flag & flags:
                pieces.append(super().name(flag) or hex(flag))
                flags &= ~flag
        if flags:
            pieces.append(hex(flags))
        return "+".join(pieces)


class PacketSpace(Space):
    """The protocols of AF_PACKET: ethertypes, whose numbers here are in network byte order, as ``socket()`` wants them.

    ``ETH_P_ALL`` is 3 in the headers, and ``parse("ETH_P_ALL")`` is ``socket.htons(3)``. A plain number passes
    unchanged: whoever writes ``3`` asks for 3, and ``label()`` says which ethertype that is.
    """

    def label(self, number: int) -> str:
        """``ETH_P_ALL (0x0003, htons 768)``; without a name ``3 (ethertype 0x0300)``."""
        if not 0 < number <= 0xFFFF:
            return str(number)
        name = self.name(number)
        ethertype = f"0x{socket.ntohs(number):04x}"
        return f"{number} (ethertype {ethertype})" if name is None else f"{name} ({ethertype}, htons {number})"

    def _to_call(self, number: int) -> int:
        return socket.htons(number)


def protocols(family: int) -> Space:
    """The protocols of a family on this platform; an empty space, which parses numbers, where none has a name."""
    for name in FAMILIES.names(family):
        space = _BY_FAMILY.get(name)
        if space is not None:
            return space
    name = FAMILIES.name(family) or f"family {family}"
    return Space(f"{name} protocol", "--proto", families=name)


TCP_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "NEW_SYN_RECV",
    13: "BOUND_INACTIVE",
}
"""States of connections, as Linux numbers them (include/net/tcp_states.h): every family borrows TCP's."""


def family_number(name: str) -> int | None:
    """This platform's number of a family, whether or not Python exports it (``AF_VSOCK``); None where there is none."""
    constant = FAMILIES.find(name)
    return None if constant is None else constant.number


def _linux(family: str, prefixes: tuple[str, ...], rows: str, kind: type[Space] = Space) -> Space:
    """The protocols of one family; rows without a letter are Linux'."""
    return kind(f"{family} protocol", "--proto", prefixes, rows, families=family, platforms=("Linux",))


FAMILIES = Space("address family", "--family", ("AF_", "PF_"), _FAMILIES)
TYPES = TypeSpace("socket type", "--type", ("SOCK_",), _TYPES)
PROTOCOLS = Space("protocol", "--proto", ("IPPROTO_",), _PROTOCOLS, families="AF_INET and AF_INET6")

_ATM_SPACE = _linux("AF_ATMPVC", ("ATM_",), _ATM)
_BY_FAMILY: dict[str, Space] = {
    "AF_INET": PROTOCOLS,
    "AF_INET6": PROTOCOLS,
    "AF_UNIX": _linux("AF_UNIX", ("PF_", "AF_"), _UNIX),
    "AF_CAN": _linux("AF_CAN", ("CAN_",), _CAN),
    "AF_NETLINK": _linux("AF_NETLINK", ("NETLINK_",), _NETLINK),
    "AF_PACKET": _linux("AF_PACKET", ("ETH_P_",), _ETHERTYPES, PacketSpace),
    "AF_BLUETOOTH": _linux("AF_BLUETOOTH", ("BTPROTO_",), _BLUETOOTH),
    "AF_SYSTEM": _linux("AF_SYSTEM", ("SYSPROTO_",), _SYSTEM),
    "AF_KEY": _linux("AF_KEY", ("PF_KEY_",), _KEY),
    "AF_PPPOX": _linux("AF_PPPOX", ("PX_PROTO_",), _PPPOX),
    "AF_NFC": _linux("AF_NFC", ("NFC_SOCKPROTO_",), _NFC),
    "AF_PHONET": _linux("AF_PHONET", ("PN_PROTO_",), _PHONET),
    "AF_CAIF": _linux("AF_CAIF", ("CAIFPROTO_",), _CAIF),
    "AF_SMC": _linux("AF_SMC", ("SMCPROTO_",), _SMC),
    "AF_KCM": _linux("AF_KCM", ("KCMPROTO_",), _KCM),
    "AF_RXRPC": _linux("AF_RXRPC", ("PF_", "AF_"), _RXRPC),
    "AF_ISDN": _linux("AF_ISDN", ("ISDN_P_",), _ISDN),
    "AF_IRDA": _linux("AF_IRDA", ("IRDAPROTO_",), _IRDA),
    "AF_ATMPVC": _ATM_SPACE,
    "AF_ATMSVC": _ATM_SPACE,
    "AF_HYPERV": _linux("AF_HYPERV", ("HV_PROTOCOL_",), _HYPERV),
    "AF_NETGRAPH": _linux("AF_NETGRAPH", ("NG_",), _NETGRAPH),
}


def _all_spaces() -> list[Space]:
    """Every space once, the three great ones first."""
    return list(dict.fromkeys((FAMILIES, TYPES, PROTOCOLS, *_BY_FAMILY.values())))


_SEPARATORS = str.maketrans("-./ +", "____X")


def _folded(text: str) -> str:
    """A name as it is looked up. IANA's keywords have other characters than C: ``IPv6-ICMP``, ``TP++``."""
    return text.strip().upper().translate(_SEPARATORS)


def _integer(text: str) -> int | None:
    """A decimal or ``0x`` number with an optional sign; None for anything else (``802_3``, which ``int`` takes, too).

    Raises:
        ValueError: a decimal number with more digits than Python converts.
    """
    text = text.strip()
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isascii() and digits.isdigit():
        return int(text)
    if digits[:2] in ("0x", "0X") and digits[2:] and all(c in "0123456789abcdefABCDEF" for c in digits[2:]):
        return int(text, 16)
    return None


def _pieces(text: str) -> list[str]:
    """A type taken apart at ``+`` and ``|``. A number with a sign is one piece."""
    try:
        if _integer(text) is not None:
            return [text]
    except ValueError:
        return [text]
    return text.replace("|", "+").split("+")


def _proper_names(meaning: str) -> set[str]:
    """The words of a meaning that have a capital: ``TCP``, ``IPV6``."""
    words = "".join(c if c.isalnum() else " " for c in meaning).split()
    return {word.upper() for word in words if not word.islower()}


def _listed(words: Iterable[str], joint: str) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *most, last = words
    return f"{', '.join(most)} {joint} {last}" if most else last
