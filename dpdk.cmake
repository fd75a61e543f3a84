# DPDK, linked statically with the drivers that ports may name: docs/decisions/static-dpdk.md. Sets up target snf_dpdk.
set(drivers
  bus_auxiliary bus_pci bus_vdev common_iavf common_mlx5 mempool_ring mempool_stack
  net_af_packet net_af_xdp net_memif net_null net_pcap net_ring net_tap net_vhost
  net_bnxt net_e1000 net_ena net_i40e net_iavf net_ice net_igc net_ixgbe net_mlx5 net_virtio net_vmxnet3)
set(libraries
  acl bpf cmdline cryptodev dmadev eal ethdev gso hash kvargs mbuf mempool meter metrics net pci rcu ring security
  stack telemetry timer vhost)
# What the drivers above need; libdpdk-dev depends on all of them.
set(others numa xdp bpf pcap mlx5 ibverbs bsd)

pkg_get_variable(DPDK_LIBDIR libdpdk libdir)
list(TRANSFORM drivers REPLACE "(.+)" "${DPDK_LIBDIR}/librte_\\1.a")
list(TRANSFORM libraries REPLACE "(.+)" "${DPDK_LIBDIR}/librte_\\1.a")
list(JOIN drivers "," drivers)
list(JOIN libraries "," libraries)

add_library(snf_dpdk INTERFACE)
target_link_libraries(snf_dpdk INTERFACE
  "$<LINK_LIBRARY:WHOLE_ARCHIVE,${drivers}>" "$<LINK_GROUP:RESCAN,${libraries}>" -Wl,--as-needed ${others} m
  -Wl,--wrap=sendmsg)  # dpdk_device.cpp says why
