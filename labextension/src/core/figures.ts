/** Numbers and durations as the command line writes them: the same digits for the same value. */

/** With so many digits behind the point; a tie goes to the even digit, as in Python. */
export function fixed(value: number, digits: number): string {
  const scale = 10 ** digits;
  const isTie = Number.isInteger(value * 8) && Math.abs((value * scale) % 1) === 0.5;
  if (!isTie) {
    return value.toFixed(digits);
  }
  const below = Math.floor(value * scale);
  return ((below % 2 === 0 ? below : below + 1) / scale).toFixed(digits);
}

/** To so many significant digits, without trailing zeros; as a power of ten where it is far from 1. */
export function general(value: number, digits = 6): string {
  if (value === 0) {
    return '0';
  }
  const [mantissa = '', power = ''] = value.toExponential(digits - 1).split('e');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= digits) {
    const sign = exponent < 0 ? '-' : '+';
    return `${trimmed(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return trimmed(value.toFixed(Math.max(0, digits - 1 - exponent)));
}

function trimmed(number: string): string {
  return number.includes('.') ? number.replace(/\.?0+$/, '') : number;
}

const UNITS = [
  [86400, 'd', 3600, 'h'],
  [3600, 'h', 60, 'm'],
  [60, 'm', 1, 's']
] as const;

/** A duration to read: `0.4s`, `12s`, `3m05s`, `2h07m`, `3d04h`. */
export function duration(seconds: number): string {
  if (seconds < 10) {
    return `${fixed(Math.max(seconds, 0), 1)}s`;
  }
  const whole = Number(fixed(seconds, 0));
  for (const [size, unit, smaller, smallerUnit] of UNITS) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / smaller);
      return `${Math.floor(whole / size)}${unit}${String(rest).padStart(2, '0')}${smallerUnit}`;
    }
  }
  return `${whole}s`;
}

/** To three digits, and never as a power of ten for what is no trifle. */
export function threeDigits(value: number): string {
  return value >= 100 ? fixed(value, 0) : general(value, 3);
}
