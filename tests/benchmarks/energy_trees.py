"""Files under a fake root, one function per kind of meter, made from the kernel's texts of its ABI.

None of these was recorded from a device: they are what the documents say that drivers write. UNTESTED ON HARDWARE. Each cites its document
in the kernel's tree (https://docs.kernel.org) and, where that leaves something open, the driver.
"""

from pathlib import Path

Tree = dict[str, object]

RAPL_RANGE_UJ = 262_143_328_850


def write_tree(root: Path, *trees: Tree) -> Path:
    """Write the files; a value of None makes a folder where a file is expected, so that reading it is an I/O error."""
    for tree in trees:
        for name, content in tree.items():
            path = root / name
            if content is None:
                path.mkdir(parents=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
    return root


def rapl_zone(zone: str, name: str, energy_uj: object, range_uj: object = RAPL_RANGE_UJ) -> Tree:
    """Documentation/power/powercap/powercap.rst: `name`, `energy_uj` (rw or ro) and `max_energy_range_uj` (ro) of each zone."""
    folder = f"sys/class/powercap/{zone}"
    return {f"{folder}/name": name, f"{folder}/energy_uj": energy_uj, f"{folder}/max_energy_range_uj": range_uj}


def hwmon_energy(number: int, chip: str, energy_uj: object, label: str | None = None, register: int = 1) -> Tree:
    """Documentation/ABI/testing/sysfs-class-hwmon: `energyY_input`, cumulative energy use in microjoules, RO; `name` is mandatory."""
    folder = f"sys/class/hwmon/hwmon{number}"
    labels = {} if label is None else {f"{folder}/energy{register}_label": label}
    return {f"{folder}/name": chip, f"{folder}/energy{register}_input": energy_uj, **labels}


def ina2xx(number: int, chip: str, power_uw: object, label: str | None = None, interval_ms: int | None = 10) -> Tree:
    """Documentation/hwmon/ina2xx.rst.

    `power1_input` in uW, `in1_input` in mV, `curr1_input` in mA; `update_interval` in ms on ina226 and later, from 2 to 2253.
    Documentation/ABI/testing/sysfs-class-hwmon: `label` of the device, free-form.
    """
    folder = f"sys/class/hwmon/hwmon{number}"
    optional = {"label": label, "update_interval": interval_ms}
    return {
        f"{folder}/name": chip,
        f"{folder}/power1_input": power_uw,
        f"{folder}/in1_input": 5000,
        f"{folder}/curr1_input": 600,
        f"{folder}/shunt_resistor": 10000,
        **{f"{folder}/{name}": value for name, value in optional.items() if value is not None},
    }


def ina3221(
    number: int, labels: tuple[str, str, str], milli: tuple[tuple[int, int], ...], interval_ms: int = 10
) -> Tree:
    """Documentation/hwmon/ina3221.rst.

    `in[123]_label`, `in[123]_input` in mV, `curr[123]_input` in mA; `in7` and `curr4` are sums; power is "calculated host-side". Labels as
    NVIDIA's device trees give them (Jetson Linux Developer Guide, platform power and performance).
    """
    folder = f"sys/class/hwmon/hwmon{number}"
    tree: Tree = {f"{folder}/name": "ina3221", f"{folder}/update_interval": interval_ms, f"{folder}/samples": 1}
    for channel, (label, (millivolts, milliamperes)) in enumerate(zip(labels, milli, strict=True), start=1):
        tree |= {
            f"{folder}/in{channel}_label": label,
            f"{folder}/in{channel}_enable": 1,
            f"{folder}/in{channel}_input": millivolts,
            f"{folder}/curr{channel}_input": milliamperes,
        }
    return tree | {
        f"{folder}/in7_label": "sum of shunt voltages",
        f"{folder}/in7_input": 99,
        f"{folder}/curr4_input": sum(milliamperes for _, milliamperes in milli),
    }


def jetpack4(rails: dict[str, int]) -> Tree:
    """NVIDIA's iio driver ina3221x of JetPack 4 (L4T 32), which no kernel document describes.

    `rail_name_N` and `in_powerN_input` in mW; paths as in rbonghi/jetson_stats@f41d5ca jtop/core/power.py.
    """
    folder = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    return {
        path: value
        for index, (label, milliwatts) in enumerate(rails.items())
        for path, value in (
            (f"{folder}/rail_name_{index}", label),
            (f"{folder}/in_power{index}_input", milliwatts),
        )
    }


def acpi_meter(
    number: int,
    power_uw: object,
    accuracy: str = "97.500%",
    interval_ms: object = 100,
    *,
    whole: bool = True,
    deep: bool = False,
) -> Tree:
    """Documentation/hwmon/acpi_power_meter.rst and Documentation/ABI/testing/sysfs-class-hwmon.

    `power1_average` in uW, `power1_average_interval` in ms, `power1_accuracy` in percent, `power1_is_battery`, links to metered devices in
    `measures/`. The driver registers all of them in the ACPI device's folder (`deep`): drivers/hwmon/acpi_power_meter.c, register_attrs.
    """
    folder = f"sys/class/hwmon/hwmon{number}" + ("/device" if deep else "")
    return {
        f"{folder}/name": "power_meter",
        f"{folder}/power1_average": power_uw,
        f"{folder}/power1_average_interval": interval_ms,
        f"{folder}/power1_accuracy": accuracy,
        f"{folder}/power1_is_battery": 0,
        f"{folder}/power1_model_number": "PM-1",
        f"{folder}/measures/{'LNXSYBUS:00' if whole else 'PNP0C09:00'}/path": "",
    }


# What `vcgencmd pmic_read_adc` printed on a Raspberry Pi 5 under load, from the README of jfikar/RPi5-power.
PMIC_ANSWER = """\
 3V7_WL_SW_A current(0)=0.00000000A
   3V3_SYS_A current(1)=0.06245952A
   1V8_SYS_A current(2)=0.16102850A
  DDR_VDD2_A current(3)=0.00780744A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.17566740A
    0V8_SW_A current(6)=0.32791250A
  VDD_CORE_A current(7)=10.87674000A
   3V3_DAC_A current(17)=0.00036630A
   3V3_ADC_A current(18)=0.00042735A
   0V8_AON_A current(16)=0.00579975A
      HDMI_A current(22)=0.01367520A
 3V7_WL_SW_V volt(8)=3.79999600V
   3V3_SYS_V volt(9)=3.30632200V
   1V8_SYS_V volt(10)=1.79828900V
  DDR_VDD2_V volt(11)=1.10292900V
  DDR_VDDQ_V volt(12)=0.60476130V
   1V1_SYS_V volt(13)=1.10439400V
    0V8_SW_V volt(14)=0.80256330V
  VDD_CORE_V volt(15)=0.89745940V
   3V3_DAC_V volt(20)=3.30494200V
   3V3_ADC_V volt(21)=3.30219400V
   0V8_AON_V volt(19)=0.79736190V
      HDMI_V volt(23)=5.07056000V
     EXT5V_V volt(24)=5.06788000V
      BATT_V volt(25)=3.01110800V
"""


def battery(name: str = "BAT0", status: str = "Discharging", **properties: object) -> Tree:
    """Documentation/ABI/testing/sysfs-class-power.

    `type`, `status`, `present`, `voltage_now` in uV, `current_now` in uA ("negative values are used for discharging batteries"),
    `capacity_error_margin` in percent; `power_now` in uW is in Documentation/power/power_supply_class.rst.
    """
    folder = f"sys/class/power_supply/{name}"
    known: Tree = {"type": "Battery", "status": status, "present": 1, **properties}
    return {f"{folder}/{key}": value for key, value in known.items()}
