/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libyaml, loaded when the first file needs it. For this room only. */

#include <yaml.h>

#include "macro.h"

#define YAML_FUNCTIONS(X)                                                                                   \
        X(yaml_parser_initialize)                                                                           \
        X(yaml_parser_delete)                                                                               \
        X(yaml_parser_set_input_string)                                                                     \
        X(yaml_parser_set_encoding)                                                                         \
        X(yaml_parser_parse)                                                                                \
        X(yaml_event_delete)                                                                                \
        X(yaml_emitter_initialize)                                                                          \
        X(yaml_emitter_delete)                                                                              \
        X(yaml_emitter_set_output)                                                                          \
        X(yaml_emitter_set_unicode)                                                                         \
        X(yaml_emitter_set_width)                                                                           \
        X(yaml_emitter_emit)                                                                                \
        X(yaml_stream_start_event_initialize)                                                               \
        X(yaml_stream_end_event_initialize)                                                                 \
        X(yaml_document_start_event_initialize)                                                             \
        X(yaml_document_end_event_initialize)                                                               \
        X(yaml_sequence_start_event_initialize)                                                             \
        X(yaml_sequence_end_event_initialize)                                                               \
        X(yaml_mapping_start_event_initialize)                                                              \
        X(yaml_mapping_end_event_initialize)                                                                \
        X(yaml_scalar_event_initialize)

/* One pointer a function, under the function's own name. */
typedef struct YamlLibrary {
#define POINTER(name) typeof(name) *name;
        YAML_FUNCTIONS(POINTER)
#undef POINTER
} YamlLibrary;

/* -ENOPKG with an error message that names the package. It stays loaded. */
_warn_unused_result_ int yaml_library_get(YamlLibrary *ret, char **reterr);
