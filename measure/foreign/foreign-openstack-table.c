/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the members of OpenStack's images, flavors and servers do to the measured bytes (Nova: nova/objects/image_meta.py,
 * nova/api/validation/extra_specs; Glance's and Nova's API references). */

#include "foreign-openstack.h"

#define SECURE_BOOT "it changes which firmware the compute node chooses"

/* Of Glance itself: the client shows some of them as properties. */
#define GLANCE                                                                                              \
        "id name status size min_ram min_disk disk_format container_format checksum owner visibility protected file schema tags created_at updated_at virtual_size direct_url locations stores os_hidden os_hash_algo os_hash_value self location"

static const EffectRow image_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "properties" },
        { .effect = EFFECT_NONE, .names = GLANCE },
        { .effect = EFFECT_NONE, .names = "links" },
};

static const EffectRow property_rows[] = {
        { .effect = EFFECT_KNOWN,
                        .names = "hw_firmware_type hw_firmware_stateless hw_machine_type hw_mem_encryption hw_mem_encryption_model kernel_id ramdisk_id os_command_line hw_architecture architecture hw_vm_mode vm_mode" },
        { .effect = EFFECT_NONE, .names = GLANCE },
        { .effect = EFFECT_NONE,
                        .names = "description os_distro os_version os_type os_admin_user os_require_quiesce os_shutdown_timeout os_skip_agent_inject_files_at_boot os_skip_agent_inject_ssh" },
        { .effect = EFFECT_NONE,
                        .names = "base_image_ref boot_roles image_location image_state image_type instance_uuid user_id owner_id owner_project_name owner_user_name owner_specified." },
        { .effect = EFFECT_NONE,
                        .names = "hw_auto_disk_config auto_disk_config hw_boot_menu hw_cdrom_bus hw_disk_bus hw_disk_type hw_floppy_bus hw_scsi_model hw_input_bus hw_pointer_model" },
        { .effect = EFFECT_NONE,
                        .names = "hw_cpu_cores hw_cpu_sockets hw_cpu_threads hw_cpu_max_cores hw_cpu_max_sockets hw_cpu_max_threads hw_cpu_policy hw_cpu_thread_policy hw_emulator_threads_policy" },
        { .effect = EFFECT_NONE,
                        .names = "hw_locked_memory hw_maxphysaddr_bits hw_maxphysaddr_mode hw_mem_page_size hw_numa_nodes hw_numa_cpus. hw_numa_mem. hw_pci_numa_affinity_policy" },
        { .effect = EFFECT_NONE,
                        .names = "hw_pmu hw_qemu_guest_agent hw_rescue_bus hw_rescue_device hw_rng_model hw_serial_port_count hw_sound_model hw_tpm_model hw_tpm_version hw_usb_model" },
        { .effect = EFFECT_NONE,
                        .names = "hw_redirected_usb_ports hw_video_model hw_video_ram hw_vif_model hw_vif_multiqueue_enabled hw_virtio_packed_ring hw_viommu_model hw_watchdog_action hw_time_hpet" },
        { .effect = EFFECT_NONE,
                        .names = "img_bdm_v2 img_cache_in_nova img_config_drive img_hide_hypervisor_id img_hv_requested_version img_hv_type img_owner_id img_root_device_name img_use_agent img_version" },
        { .effect = EFFECT_NONE,
                        .names = "img_signature img_signature_hash_method img_signature_certificate_uuid img_signature_key_type min_cpu trait: cinder_encryption_key_id cinder_encryption_key_deletion_policy" },
        { .effect = EFFECT_UNKNOWN, .names = "os_secure_boot", .why = SECURE_BOOT },
        { .effect = EFFECT_UNKNOWN,
                        .names = "hw_emulation_architecture",
                        .why = "such a server is emulated, without secure processor" },
        { .effect = EFFECT_UNKNOWN,
                        .names = "img_block_device_mapping block_device_mapping img_mappings mappings",
                        .why = "the disk and its image may be those of a snapshot" },
};

static const EffectRow flavor_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "vcpus ram properties extra_specs" },
        { .effect = EFFECT_NONE,
                        .names = "id name original_name description disk swap ephemeral rxtx_factor is_public is_disabled access_project_ids links location os-flavor-access:is_public OS-FLV-DISABLED:disabled OS-FLV-EXT-DATA:ephemeral" },
};

static const EffectRow spec_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "hw:mem_encryption hw:mem_encryption_model" },
        { .effect = EFFECT_NONE,
                        .names = "accel:device_profile aggregate_instance_extra_specs: capabilities: group_policy hide_hypervisor_id hw:boot_menu hw:cpu_cores hw:cpu_sockets hw:cpu_threads" },
        { .effect = EFFECT_NONE,
                        .names = "hw:cpu_max_cores hw:cpu_max_sockets hw:cpu_max_threads hw:cpu_policy hw:cpu_thread_policy hw:cpu_dedicated_mask hw:cpu_realtime hw:cpu_realtime_mask hw:emulator_threads_policy" },
        { .effect = EFFECT_NONE,
                        .names = "hw:hide_hypervisor_id hw:locked_memory hw:maxphysaddr_bits hw:maxphysaddr_mode hw:mem_page_size hw:numa_nodes hw:numa_cpus. hw:numa_mem. hw:pci_numa_affinity_policy" },
        { .effect = EFFECT_NONE,
                        .names = "hw:pmu hw:serial_port_count hw:sound_model hw:tpm_model hw:tpm_version hw:tpm_secret_security hw:usb_model hw:redirected_usb_ports hw:vif_multiqueue_enabled hw:virtio_packed_ring" },
        { .effect = EFFECT_NONE,
                        .names = "hw:viommu_model hw:watchdog_action hw_rng: hw_video: os:monitors pci_passthrough:alias quota: resources resources: required trait: traits:" },
        { .effect = EFFECT_UNKNOWN, .names = "os:secure_boot", .why = SECURE_BOOT },
};

static const EffectRow server_rows[] = {
        { .effect = EFFECT_KNOWN,
                        .names = "properties metadata image flavor OS-EXT-SRV-ATTR:kernel_id OS-EXT-SRV-ATTR:ramdisk_id OS-EXT-SRV-ATTR:root_device_name" },
        { .effect = EFFECT_NONE,
                        .names = "OS-DCF:diskConfig OS-EXT-AZ:availability_zone OS-EXT-SRV-ATTR:host OS-EXT-SRV-ATTR:hostname OS-EXT-SRV-ATTR:hypervisor_hostname OS-EXT-SRV-ATTR:instance_name OS-EXT-SRV-ATTR:launch_index" },
        { .effect = EFFECT_NONE,
                        .names = "OS-EXT-SRV-ATTR:reservation_id OS-EXT-SRV-ATTR:user_data OS-EXT-STS: OS-SRV-USG: accessIPv4 accessIPv6 addresses adminPass config_drive created description fault hostId hostname host_status" },
        { .effect = EFFECT_NONE,
                        .names = "id key_name links location locked locked_reason name os-extended-volumes:volumes_attached pinned_availability_zone progress project_id scheduler_hints security_groups server_groups status tags tenant_id trusted_image_certificates" },
        { .effect = EFFECT_NONE, .names = "updated user_id volumes_attached" },
};

#define TABLE(name, text)                                                                                   \
        const EffectTable openstack_##name##_table = {                                                      \
                .what = text, .rows = name##_rows, .n_rows = ELEMENTSOF(name##_rows)                        \
        }

TABLE(image, "the image's member ");
TABLE(property, "the image's property ");
TABLE(flavor, "the flavor's member ");
TABLE(spec, "the flavor's property ");
TABLE(server, "the server's member ");
