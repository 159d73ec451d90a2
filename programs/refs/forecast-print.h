/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "forecast.h"

_warn_unused_result_ int forecast_print_json(const Forecast *f, const ForecastWorld *w, JsStyle style);
_warn_unused_result_ int forecast_print(const Forecast *f, const ForecastWorld *w);
